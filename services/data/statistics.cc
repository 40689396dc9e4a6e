#include "services/data/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <absl/types/span.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr int64_t kMostVocabulary = 4096;
constexpr int64_t kBlockTokens = int64_t{1} << 16;
constexpr std::array<double, 6> kQuantiles = {0, 0.1, 0.5, 0.9, 0.99, 1};

std::vector<LengthQuantile> Quantiles(std::vector<int64_t> lengths) {
  std::sort(lengths.begin(), lengths.end());
  std::vector<LengthQuantile> quantiles;
  for (const double quantile : kQuantiles) {
    const auto rank =
        static_cast<size_t>(std::ceil(quantile * static_cast<double>(lengths.size())));
    quantiles.push_back({quantile, lengths[std::max<size_t>(rank, 1) - 1]});
  }
  return quantiles;
}

// Counts of (previous, next) token pairs.
class BigramTable {
 public:
  explicit BigramTable(int64_t vocabulary)
      : vocabulary_(static_cast<size_t>(vocabulary)), counts_(vocabulary_ * vocabulary_) {}

  void Add(absl::Span<const int32_t> tokens) {
    for (size_t i = 1; i < tokens.size(); ++i) {
      ++counts_[static_cast<size_t>(tokens[i - 1]) * vocabulary_ + static_cast<size_t>(tokens[i])];
    }
  }

  // H(next | previous) = sum over pairs of p(pair) * log(n(previous) / n(pair)), in nats.
  double ConditionalEntropy() const {
    double total = 0;
    double sum = 0;
    for (size_t previous = 0; previous < vocabulary_; ++previous) {
      const absl::Span<const int64_t> row =
          absl::MakeConstSpan(counts_).subspan(previous * vocabulary_, vocabulary_);
      double row_total = 0;
      for (const int64_t count : row) row_total += static_cast<double>(count);
      for (const int64_t count : row) {
        const auto n = static_cast<double>(count);
        if (count > 0) sum += n * std::log(row_total / n);
      }
      total += row_total;
    }
    return total == 0 ? 0 : sum / total;
  }

 private:
  const size_t vocabulary_;
  std::vector<int64_t> counts_;  // [previous * vocabulary + next]
};

// Every pair of a document once: blocks overlap by one token.
absl::Status AddDocument(const Dataset& dataset, int64_t document, absl::FunctionRef<bool()> go_on,
                         std::vector<int32_t>* block, BigramTable* bigrams) {
  const int64_t length = dataset.length(document);
  for (int64_t begin = 0; begin + 1 < length; begin += kBlockTokens - 1) {
    if (!go_on()) return absl::CancelledError("counting tokens was stopped");
    block->resize(static_cast<size_t>(std::min(kBlockTokens, length - begin)));
    RALLY_RETURN_IF_ERROR(dataset.Read(document, begin, absl::MakeSpan(*block)));
    bigrams->Add(*block);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DatasetStatistics> ComputeStatistics(const Dataset& dataset,
                                                    absl::FunctionRef<bool()> go_on) {
  RALLY_RETURN_IF_ERROR(dataset.Verify(go_on));
  const DatasetInfo& info = dataset.info();
  DatasetStatistics statistics;
  statistics.documents = info.documents;
  statistics.tokens = info.tokens;
  statistics.targets = info.tokens - info.documents;
  std::vector<int64_t> lengths(static_cast<size_t>(info.documents));
  for (int64_t d = 0; d < info.documents; ++d) {
    lengths[static_cast<size_t>(d)] = dataset.length(d);
  }
  statistics.lengths = Quantiles(std::move(lengths));
  if (info.vocabulary > kMostVocabulary) return statistics;

  BigramTable bigrams(info.vocabulary);
  std::vector<int32_t> block;
  for (int64_t d = 0; d < info.documents; ++d) {
    RALLY_RETURN_IF_ERROR(AddDocument(dataset, d, go_on, &block, &bigrams));
  }
  statistics.bigram_entropy = bigrams.ConditionalEntropy();
  return statistics;
}

}  // namespace rally
