#include "scheduler/packing.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "scheduler/integer_math.h"

namespace rally {
namespace {

// A group's documents by nano-batch, in the order in which they fill its chunks: whole, but for one
// that is longer than a whole nano-batch.
using GroupStream = std::array<NanoBatch, kNanoBatches>;

std::vector<DocumentShard> WholeDocuments(const std::vector<Document>& documents, int32_t first) {
  std::vector<DocumentShard> shards;
  for (const Document& document : documents) {
    shards.push_back({first + static_cast<int32_t>(shards.size()), 0, document.tokens});
  }
  return shards;
}

// Marks the documents that come in ping, longest first to the half that holds less.
std::vector<bool> ChoosePing(const std::vector<DocumentShard>& documents) {
  std::vector<size_t> longest_first(documents.size());
  for (size_t i = 0; i < documents.size(); ++i) longest_first[i] = i;
  std::stable_sort(longest_first.begin(), longest_first.end(), [&documents](size_t a, size_t b) {
    return documents[a].tokens() > documents[b].tokens();
  });
  std::vector<bool> in_ping(documents.size());
  int64_t ping_surplus = 0;
  for (const size_t i : longest_first) {
    in_ping[i] = ping_surplus <= 0;
    ping_surplus += in_ping[i] ? documents[i].tokens() : -documents[i].tokens();
  }
  return in_ping;
}

// Ping's documents and pong's, each in arrival order. A document longer than half the group comes
// first and is cut where ping ends, so that both halves hold the same number of tokens.
GroupStream OrderGroup(std::vector<DocumentShard> documents, bool ping_pong) {
  if (!ping_pong) return {std::move(documents), {}};
  GroupStream stream;
  const int64_t half = (TokenCount(documents) + 1) / 2;
  const auto longer_than_half = [half](const DocumentShard& d) { return d.tokens() > half; };
  const auto longest = std::find_if(documents.begin(), documents.end(), longer_than_half);
  if (longest != documents.end()) {
    stream[0].push_back({longest->document, 0, half});
    stream[1].push_back({longest->document, half, longest->end});
    documents.erase(longest);
    stream[1].insert(stream[1].end(), documents.begin(), documents.end());
    return stream;
  }
  const std::vector<bool> in_ping = ChoosePing(documents);
  for (size_t i = 0; i < documents.size(); ++i) {
    stream[in_ping[i] ? 0 : 1].push_back(documents[i]);
  }
  return stream;
}

// Reads a stream of shards in order.
class ShardReader {
 public:
  ShardReader(const NanoBatch& shards, DocumentCut cut) : shards_(shards), cut_(cut) {}

  NanoBatch Read(int64_t tokens) {
    NanoBatch read;
    while (tokens > 0) {
      if (rest_.tokens() == 0) {
        RALLY_CHECK(next_ < shards_.size(), "the stream holds too few tokens");
        rest_ = shards_[next_++];
      }
      const int64_t taken = std::min(tokens, rest_.tokens());
      const bool all = taken == rest_.tokens();
      // A ring is half head, half tail; the last one, in the middle, is both in one.
      const int64_t tail = cut_ == DocumentCut::kSlices || all ? 0 : taken - taken / 2;
      const int64_t head = taken - tail;
      if (head > 0) read.push_back({rest_.document, rest_.begin, rest_.begin + head});
      if (tail > 0) read.push_back({rest_.document, rest_.end - tail, rest_.end});
      rest_.begin += head;
      rest_.end -= tail;
      tokens -= taken;
    }
    return read;
  }

 private:
  const NanoBatch& shards_;
  const DocumentCut cut_;
  size_t next_ = 0;
  DocumentShard rest_;  // Of shards_[next_ - 1].
};

void LayOutGroup(const GroupStream& stream, DocumentCut cut, absl::Span<Chunk> chunks) {
  const auto parts = static_cast<int64_t>(chunks.size());
  const int64_t ping = TokenCount(stream[0]);
  const int64_t tokens = ping + TokenCount(stream[1]);
  ShardReader ping_reader(stream[0], cut);
  ShardReader pong_reader(stream[1], cut);
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t ping_share = EvenPart(ping, parts, i);
    chunks[i].nano_batches[0] = ping_reader.Read(ping_share);
    chunks[i].nano_batches[1] = pong_reader.Read(EvenPart(tokens, parts, i) - ping_share);
  }
}

}  // namespace

absl::StatusOr<Plan> PackInOrder(const GlobalBatch& batch, const BatchShape& shape, int32_t workers,
                                 bool ping_pong, DocumentCut cut) {
  const int64_t group_chunks = shape.chunks_per_group();
  if (workers < 1 || workers % group_chunks != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(workers, " workers is not a multiple of the ", group_chunks,
                     " chunks that a document of ", shape.max_document_tokens,
                     " tokens may span at ", shape.chunk_tokens, " tokens per chunk"));
  }
  const auto groups_at_once = static_cast<size_t>(workers / group_chunks);
  Plan plan;
  plan.workers = workers;
  plan.next_position = batch.next_position;
  for (size_t group = 0; group < batch.groups.size(); ++group) {
    const size_t place = group % groups_at_once;
    if (place == 0) plan.micro_batches.emplace_back().chunks.resize(static_cast<size_t>(workers));
    const std::vector<Document>& documents = batch.groups[group];
    const auto first = static_cast<int32_t>(plan.documents.size());
    plan.documents.insert(plan.documents.end(), documents.begin(), documents.end());
    LayOutGroup(
        OrderGroup(WholeDocuments(documents, first), ping_pong), cut,
        absl::MakeSpan(plan.micro_batches.back().chunks)
            .subspan(place * static_cast<size_t>(group_chunks), static_cast<size_t>(group_chunks)));
  }
  return plan;
}

}  // namespace rally
