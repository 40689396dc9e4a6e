// ServerPhase: the memory of one phase on an attention server, and the batch that points into it.
//
// Reads requests where they were received and lets the kernel write into the replies; only key
// blocks that come from several homes pass through scratch memory. Layouts of messages are those of
// scheduler/phase_routes.h, in floats.
//
// Used once, by one thread: construct, MakeBatch, run the kernel, TakeReplies. Requests, layout and
// pool are borrowed.
#ifndef RALLY_WORKERS_ATTENTION_SERVER_PHASE_H_
#define RALLY_WORKERS_ATTENTION_SERVER_PHASE_H_

#include <cstdint>
#include <vector>

#include "scheduler/model_shape.h"
#include "scheduler/phase_routes.h"
#include "workers/attention/attention_kernel.h"
#include "workers/attention/server_layout.h"
#include "workers/transport/buffer.h"

namespace rally {

// Offsets of a message's parts in floats, and its size. Parts a message lacks have the offset of
// what follows.
struct RequestParts {
  int64_t q = 0;
  int64_t k = 0;
  int64_t v = 0;
  int64_t d_out = 0;
  int64_t lse = 0;
  int64_t delta = 0;
  int64_t size = 0;
};
struct ReplyParts {
  int64_t queries = 0;  // out or d_q
  int64_t lse = 0;
  int64_t d_k = 0;
  int64_t d_v = 0;
  int64_t size = 0;
};
RequestParts RequestLayout(const Route& route, const ModelShape& shape, bool backward);
ReplyParts ReplyLayout(const Route& route, const ModelShape& shape, bool backward);

class ServerPhase {
 public:
  // `requests[i]` is of layout->routes[i].
  ServerPhase(const ServerLayout* layout, const ModelShape& shape, bool backward,
              const std::vector<Buffer>& requests, BufferPool* pool);

  // One task per CA-task, in the plan's order.
  VarlenBatch MakeBatch();

  // After the kernel: by route.
  std::vector<Buffer> TakeReplies();

 private:
  // Key row 0 of a block: inputs, and gradients when backward.
  struct BlockMemory {
    const float* k = nullptr;
    const float* v = nullptr;
    float* d_k = nullptr;
    float* d_v = nullptr;
  };

  BlockMemory InPlace(const KeySegment& segment);
  BlockMemory Assemble(const KeyBlock& block);
  void ScatterGradients(const KeyBlock& block, const BlockMemory& memory);
  VarlenTask MakeTask(const ServerTask& task);

  const ServerLayout* const layout_;
  const bool backward_;
  const int64_t heads_;     // N
  const int64_t q_width_;   // N * H
  const int64_t kv_width_;  // M * H
  std::vector<RequestParts> request_parts_;
  std::vector<ReplyParts> reply_parts_;
  std::vector<const float*> requests_;
  std::vector<Buffer> replies_;
  std::vector<float*> reply_data_;
  Buffer scratch_;  // k, v and, when backward, d_k, d_v of the assembled blocks.
  std::vector<BlockMemory> blocks_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_SERVER_PHASE_H_
