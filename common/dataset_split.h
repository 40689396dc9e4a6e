// DatasetSplit: which documents train and which are held out.
//
// A function of its arguments alone: the same on every machine and after every restart.
#ifndef RALLY_COMMON_DATASET_SPLIT_H_
#define RALLY_COMMON_DATASET_SPLIT_H_

#include <cstdint>
#include <vector>

namespace rally {

struct DatasetSplit {
  std::vector<int64_t> training;  // Dataset indices, ascending.
  std::vector<int64_t> validation;
};

// A document is held out when a hash of its index and `seed` falls below `validation_fraction`, in
// [0, 1). So a dataset that grows keeps its held-out documents. Both splits get at least one
// document when there are two or more and the fraction is above 0; a single document trains.
DatasetSplit SplitDataset(int64_t documents, double validation_fraction, uint64_t seed);

}  // namespace rally

#endif  // RALLY_COMMON_DATASET_SPLIT_H_
