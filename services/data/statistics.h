// DatasetStatistics: what a dataset holds, and how well a bigram model of it could do.
//
// Pure reading; any thread.
#ifndef RALLY_SERVICES_DATA_STATISTICS_H_
#define RALLY_SERVICES_DATA_STATISTICS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/dataset.h"

namespace rally {

struct LengthQuantile {
  double quantile = 0;  // In [0, 1].
  int64_t tokens = 0;  // Shortest length that at least this share of the documents does not exceed.
};

struct DatasetStatistics {
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t targets = 0;  // Tokens that have a successor in their document: tokens - documents.
  std::vector<LengthQuantile> lengths;  // 0 (shortest), 0.1, 0.5, 0.9, 0.99, 1 (longest).

  // H(next token | previous token) in nats per target, of the pairs inside documents, the
  // end_of_document included: the loss of the best model that sees one token back. Nothing when the
  // vocabulary is above 4096, where a table of counts says little.
  std::optional<double> bigram_entropy;
};

// Reads every token. The dataset's own errors. Cancelled once `go_on`, which is asked every few
// milliseconds, says no.
absl::StatusOr<DatasetStatistics> ComputeStatistics(const Dataset& dataset,
                                                    absl::FunctionRef<bool()> go_on);

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_STATISTICS_H_
