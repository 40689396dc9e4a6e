#include "tests/scheduler/random_plan_input.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace rally::test {
namespace {

// Reads numbers off a string of bytes; zeros follow its end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint64_t Next(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      value = value << 8 | (at_ < size_ ? data_[at_] : 0);
      ++at_;
    }
    return value;
  }
  // In [low, high].
  int64_t Between(int64_t low, int64_t high, int bytes = 2) {
    return low + static_cast<int64_t>(Next(bytes) % static_cast<uint64_t>(high - low + 1));
  }
  // In [1, high], small values as likely as large ones.
  int64_t Scale(int64_t high) {
    const double share = static_cast<double>(Next(2)) / 65536.0;
    return std::clamp<int64_t>(std::llround(std::pow(static_cast<double>(high), share)), 1, high);
  }
  bool Flag() { return Next(1) % 2 == 1; }

 private:
  const uint8_t* const data_;
  const size_t size_;
  size_t at_ = 0;
};

Topology ReadTopology(Bytes* bytes) {
  Topology topology;
  const int64_t ranks = bytes->Scale(512);
  topology.in_place = bytes->Flag();
  topology.dedicated_servers = static_cast<int32_t>(
      topology.in_place && bytes->Flag() ? 0 : bytes->Between(0, std::max<int64_t>(1, ranks / 2)));
  topology.workers = static_cast<int32_t>(std::max<int64_t>(1, ranks - topology.dedicated_servers));
  topology.ranks_per_node = static_cast<int32_t>(bytes->Between(0, 16, 1));
  if (bytes->Flag()) {
    for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
      // A tenth is excluded.
      topology.weights.push_back(bytes->Between(0, 9, 1) == 0 ? 0.0 : 0.25 * bytes->Between(1, 8));
    }
    topology.weights.back() = 1.0;  // Somebody is in every pool.
    if (topology.dedicated_servers == 0) topology.weights[0] = 1.0;
  }
  return topology;
}

// Documents that fill `tokens`, the last one cut; at most `most` documents.
std::vector<Document> ReadDocuments(int64_t tokens, int64_t longest, int64_t most, Bytes* bytes) {
  std::vector<Document> documents;
  const bool equal = bytes->Flag() && bytes->Flag();
  const int64_t typical = bytes->Scale(longest);
  for (int64_t left = tokens; left > 0;) {
    int64_t length = equal ? typical : bytes->Scale(longest);
    if (static_cast<int64_t>(documents.size()) + 1 >= most) length = longest;
    length = std::min(length, left);
    documents.push_back({static_cast<int64_t>(documents.size()), 0, length, length - 1});
    left -= length;
  }
  return documents;
}

}  // namespace

RandomPlanInput::RandomPlanInput(const uint8_t* data, size_t size, int64_t most_documents) {
  Bytes bytes(data, size);
  input.topology = ReadTopology(&bytes);
  input.model.heads = int32_t{4} << bytes.Between(0, 3, 1);
  input.model.kv_heads = bytes.Flag() ? input.model.heads : input.model.heads / 4;
  input.model.head_dim = 64;
  if (bytes.Flag() && bytes.Flag()) input.model.mask.window = bytes.Scale(100'000);
  input.ping_pong = bytes.Flag();
  options.tolerance = 0.01 * static_cast<double>(bytes.Between(1, 20, 1));
  options.query_granularity = int64_t{1} << bytes.Between(0, 7, 1);
  options.element_bytes = bytes.Flag() ? 2 : 4;
  const int64_t workers = input.topology.workers;
  // A document spans as many chunks as divide the workers.
  std::vector<int64_t> spans;
  for (int64_t span = 1; span <= workers; ++span) {
    if (workers % span == 0) spans.push_back(span);
  }
  const int64_t span = spans[bytes.Next(1) % spans.size()];
  const int64_t most_chunk = std::max<int64_t>(16, std::min<int64_t>(131'072, 1'000'000 / span));
  input.shape.chunk_tokens = std::max<int64_t>(16, bytes.Scale(most_chunk));
  input.shape.max_document_tokens = input.shape.chunk_tokens * span;
  const int64_t groups = workers / span * (bytes.Flag() ? 1 : bytes.Between(1, 2, 1));
  input.shape.chunks = groups * span;
  const int64_t most = std::max<int64_t>(4, most_documents / groups);
  for (int64_t group = 0; group < groups; ++group) {
    batch.groups.push_back(ReadDocuments(input.shape.max_document_tokens,
                                         input.shape.max_document_tokens, most, &bytes));
  }
  input.batch = &batch;
}

}  // namespace rally::test
