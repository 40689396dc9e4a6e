// DatasetCheck: verifies a dataset beside the training that reads it.
//
// Open proves the index alone, since reading all tokens of a large dataset takes minutes. This does
// it on a thread of low priority, from construction on; destruction ends it early. The dataset is
// borrowed. status() may be called from any thread.
#ifndef RALLY_WORKERS_DATASET_CHECK_H_
#define RALLY_WORKERS_DATASET_CHECK_H_

#include <atomic>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>

#include "common/dataset.h"

namespace rally {

class DatasetCheck {
 public:
  explicit DatasetCheck(const Dataset* dataset);
  ~DatasetCheck();
  DatasetCheck(const DatasetCheck&) = delete;
  DatasetCheck& operator=(const DatasetCheck&) = delete;

  // DataLoss once damage is found; see Dataset::Verify.
  absl::Status status() const;

 private:
  void Run(const Dataset* dataset);

  std::atomic<bool> stop_{false};
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_DATASET_CHECK_H_
