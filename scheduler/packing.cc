#include "scheduler/packing.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace rally {
namespace {

// A group's documents as a token stream: ping's [0, ping_tokens), then pong's.
struct GroupStream {
  std::vector<DocumentShard> shards;  // Whole documents, in stream order.
  int64_t tokens = 0;
  int64_t ping_tokens = 0;
};

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

// Ping's documents first, otherwise in arrival order. A document longer than half the group begins
// the stream and is cut where ping ends, so that both halves hold the same number of tokens.
GroupStream OrderGroup(std::vector<DocumentShard> documents, bool ping_pong) {
  GroupStream stream;
  for (const DocumentShard& document : documents) stream.tokens += document.tokens();
  const int64_t half = (stream.tokens + 1) / 2;
  const auto longer_than_half = [half](const DocumentShard& d) { return d.tokens() > half; };
  const auto longest = std::find_if(documents.begin(), documents.end(), longer_than_half);
  if (!ping_pong) {
    stream.ping_tokens = stream.tokens;
    stream.shards = std::move(documents);
  } else if (longest != documents.end()) {
    std::rotate(documents.begin(), longest, longest + 1);
    stream.ping_tokens = half;
    stream.shards = std::move(documents);
  } else {
    const std::vector<bool> in_ping = ChoosePing(documents);
    for (const bool ping : {true, false}) {
      for (size_t i = 0; i < documents.size(); ++i) {
        if (in_ping[i] != ping) continue;
        stream.shards.push_back(documents[i]);
        if (ping) stream.ping_tokens += documents[i].tokens();
      }
    }
  }
  return stream;
}

// Reads a stream of shards in order.
class ShardReader {
 public:
  explicit ShardReader(const std::vector<DocumentShard>& shards) : shards_(shards) {}

  NanoBatch Read(int64_t tokens) {
    NanoBatch read;
    while (tokens > 0) {
      RALLY_CHECK(next_ < shards_.size(), "the stream holds too few tokens");
      const DocumentShard& shard = shards_[next_];
      const int64_t begin = shard.begin + used_;
      const int64_t taken = std::min(tokens, shard.end - begin);
      read.push_back({shard.document, begin, begin + taken});
      tokens -= taken;
      used_ += taken;
      if (begin + taken == shard.end) {
        ++next_;
        used_ = 0;
      }
    }
    return read;
  }

 private:
  const std::vector<DocumentShard>& shards_;
  size_t next_ = 0;
  int64_t used_ = 0;  // Of shards_[next_].
};

// Part `index` of `tokens` in `parts` parts that differ by one at most, larger ones first. A part
// of fewer tokens is never the larger one: ping's share fits into the chunk's.
int64_t Share(int64_t tokens, int64_t parts, int64_t index) {
  return tokens / parts + (index < tokens % parts ? 1 : 0);
}

void LayOutGroup(const GroupStream& stream, absl::Span<Chunk> chunks) {
  const auto parts = static_cast<int64_t>(chunks.size());
  ShardReader reader(stream.shards);
  for (int64_t i = 0; i < parts; ++i) {
    chunks[i].nano_batches[0] = reader.Read(Share(stream.ping_tokens, parts, i));
  }
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t pong = Share(stream.tokens, parts, i) - Share(stream.ping_tokens, parts, i);
    chunks[i].nano_batches[1] = reader.Read(pong);
  }
}

}  // namespace

absl::StatusOr<Plan> PackInOrder(const GlobalBatch& batch, const BatchShape& shape, int32_t workers,
                                 bool ping_pong) {
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
        OrderGroup(WholeDocuments(documents, first), ping_pong),
        absl::MakeSpan(plan.micro_batches.back().chunks)
            .subspan(place * static_cast<size_t>(group_chunks), static_cast<size_t>(group_chunks)));
  }
  return plan;
}

}  // namespace rally
