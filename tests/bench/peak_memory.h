// PeakMemory: the most memory this process held since a moment, beyond what it held then.
//
// From the kernel's count of resident pages, so of all threads together. Linux only.
#ifndef RALLY_TESTS_BENCH_PEAK_MEMORY_H_
#define RALLY_TESTS_BENCH_PEAK_MEMORY_H_

#include <cstdint>

namespace rally::bench {

class PeakMemory {
 public:
  PeakMemory();  // From now on; forgets the peak of any other PeakMemory.

  int64_t bytes() const;

 private:
  int64_t at_start_;
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_PEAK_MEMORY_H_
