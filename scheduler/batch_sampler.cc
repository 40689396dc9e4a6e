#include "scheduler/batch_sampler.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "scheduler/integer_math.h"

namespace rally {
namespace {

// Draw `counter` of the generator that (seed, pass) names.
uint64_t Draw(uint64_t seed, uint64_t pass, uint64_t counter) {
  return MixBits(MixBits(MixBits(seed + kMixStep) + (pass + 1) * kMixStep) +
                 (counter + 1) * kMixStep);
}

}  // namespace

BatchSampler::BatchSampler(absl::Span<const int64_t> lengths, absl::Span<const int64_t> sources,
                           BatchShape shape, uint64_t seed, bool shuffle)
    : lengths_(lengths), sources_(sources), shape_(shape), seed_(seed), shuffle_(shuffle) {
  RALLY_CHECK(!lengths.empty() && lengths.size() == sources.size() &&
                  lengths.size() <= std::numeric_limits<int32_t>::max(),
              absl::StrCat(lengths.size(), " lengths, ", sources.size(), " sources"));
  RALLY_CHECK(*std::min_element(lengths.begin(), lengths.end()) >= 1, "an empty document");
  RALLY_CHECK(shape.chunk_tokens >= 1 && shape.chunks >= 1 && shape.max_document_tokens >= 1 &&
                  shape.chunks % shape.chunks_per_group() == 0,
              "a batch shape that is not valid");
}

void BatchSampler::ShuffleFor(int64_t pass) {
  if (pass == shuffled_pass_) return;
  shuffled_pass_ = pass;
  order_.resize(lengths_.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (!shuffle_) return;
  for (size_t i = order_.size(); i > 1; --i) {
    // The remainder favours small numbers by less than 2^-33.
    std::swap(order_[i - 1], order_[Draw(seed_, static_cast<uint64_t>(pass), i) % i]);
  }
}

absl::StatusOr<GlobalBatch> BatchSampler::Sample(const DataPosition& position) {
  const int64_t group_count = shape_.chunks / shape_.chunks_per_group();
  const int64_t group_tokens = shape_.chunks_per_group() * shape_.chunk_tokens;
  const auto documents = static_cast<int64_t>(lengths_.size());
  GlobalBatch batch;
  batch.groups.resize(static_cast<size_t>(group_count));
  DataPosition at = position;
  int64_t room = kMostBatchDocuments;
  for (std::vector<Document>& group : batch.groups) {
    for (int64_t space = group_tokens; space > 0;) {
      if (at.index >= documents) at = {at.pass + 1, 0, 0};
      ShuffleFor(at.pass);
      const int32_t document = order_[static_cast<size_t>(at.index)];
      const int64_t left = lengths_[document] - at.token;
      const int64_t tokens = std::min({space, left, shape_.max_document_tokens});
      if (tokens > 0) {
        if (--room < 0) {
          return absl::InvalidArgumentError(
              absl::StrCat("batch: ", shape_.chunks, " chunks of ", shape_.chunk_tokens,
                           " tokens hold more than ", kMostBatchDocuments,
                           " documents of this dataset; lower batch.chunks or batch.chunk_tokens"));
        }
        // The document's last token has no successor to predict.
        group.push_back(
            {sources_[document], at.token, tokens, tokens == left ? tokens - 1 : tokens});
        space -= tokens;
      }
      at.token += tokens;
      if (tokens == left || left <= 0) at = {at.pass, at.index + 1, 0};
    }
  }
  if (at.index >= documents) at = {at.pass + 1, 0, 0};
  batch.next_position = at;
  return batch;
}

}  // namespace rally
