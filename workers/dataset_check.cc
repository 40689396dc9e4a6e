#include "workers/dataset_check.h"

#include "common/thread_niceness.h"

namespace rally {
namespace {

constexpr int kNiceness = 19;

}  // namespace

DatasetCheck::DatasetCheck(const Dataset* dataset) : thread_([this, dataset] { Run(dataset); }) {}

DatasetCheck::~DatasetCheck() {
  stop_ = true;
  thread_.join();
}

absl::Status DatasetCheck::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void DatasetCheck::Run(const Dataset* dataset) {
  LowerThreadPriority(kNiceness);
  const absl::Status status = dataset->Verify([this] { return !stop_; });
  absl::MutexLock lock(&mutex_);
  status_ = status;
}

}  // namespace rally
