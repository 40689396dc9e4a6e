#include "workers/dataset_check.h"

#include <sys/resource.h>
#include <unistd.h>

namespace rally {
namespace {

constexpr int kLowestPriority = 19;

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
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLowestPriority);  // The thread's.
  const absl::Status status = dataset->Verify([this] { return !stop_; });
  absl::MutexLock lock(&mutex_);
  status_ = status;
}

}  // namespace rally
