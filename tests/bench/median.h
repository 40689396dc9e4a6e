// Median of measurements.
#ifndef RALLY_TESTS_BENCH_MEDIAN_H_
#define RALLY_TESTS_BENCH_MEDIAN_H_

#include <algorithm>
#include <vector>

namespace rally::bench {

// The middle value, the upper one of two; 0 for none.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_MEDIAN_H_
