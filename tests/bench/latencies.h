// Latencies: how long one kind of call took, every time.
//
// Thread-safe.
#ifndef RALLY_TESTS_BENCH_LATENCIES_H_
#define RALLY_TESTS_BENCH_LATENCIES_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace rally::bench {

class Latencies {
 public:
  void Add(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    seconds_.push_back(absl::ToDoubleSeconds(duration));
  }
  size_t count() const {
    absl::MutexLock lock(&mutex_);
    return seconds_.size();
  }
  // The value that a share of `quantile` in [0, 1] does not exceed; 0 when there is none.
  double Seconds(double quantile) const {
    absl::MutexLock lock(&mutex_);
    if (seconds_.empty()) return 0.0;
    std::vector<double> sorted = seconds_;
    const auto last = static_cast<double>(sorted.size() - 1);
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(quantile * last + 0.5);
    std::nth_element(sorted.begin(), at, sorted.end());
    return *at;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<double> seconds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_LATENCIES_H_
