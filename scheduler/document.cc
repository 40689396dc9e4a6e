#include "scheduler/document.h"

namespace rally {

int64_t TokenCount(const NanoBatch& nano_batch) {
  int64_t tokens = 0;
  for (const DocumentShard& shard : nano_batch) tokens += shard.tokens();
  return tokens;
}

int64_t TokenCount(const Chunk& chunk) {
  return TokenCount(chunk.nano_batches[0]) + TokenCount(chunk.nano_batches[1]);
}

}  // namespace rally
