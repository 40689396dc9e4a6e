// RateGrid: a rate measured at the points of a rectangular grid, interpolated between them.
//
// Bilinear in the logarithms of both axes; outside the grid the nearest edge's rate holds. Rates,
// not seconds, because they vary slowly: a task of twice the work takes about twice the time.
//
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_RATE_GRID_H_
#define RALLY_SCHEDULER_RATE_GRID_H_

#include <map>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

namespace rally {

class RateGrid {
 public:
  using Points = std::map<std::pair<double, double>, double>;  // (x, y) -> rate

  RateGrid() = default;  // Empty.

  // InvalidArgument when a value is not positive and finite, or when the points are not every x
  // with every y; it names the missing point.
  static absl::StatusOr<RateGrid> Make(const Points& points);

  bool empty() const { return rates_.empty(); }
  // x, y > 0. The grid must not be empty.
  double At(double x, double y) const;

 private:
  // Logarithms of one axis's values, ascending.
  struct Axis {
    std::vector<double> logs;
    // The point at or below log(value), and how far it is to the next one, in [0, 1).
    std::pair<size_t, double> Locate(double value) const;
  };

  Axis x_;
  Axis y_;
  std::vector<double> rates_;  // [x][y]
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_RATE_GRID_H_
