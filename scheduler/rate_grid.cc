#include "scheduler/rate_grid.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace rally {

absl::StatusOr<RateGrid> RateGrid::Make(const Points& points) {
  std::set<double> xs;
  std::set<double> ys;
  for (const auto& [point, rate] : points) {
    for (const double value : {point.first, point.second, rate}) {
      if (std::isfinite(value) && value > 0.0) continue;
      return absl::InvalidArgumentError(absl::StrCat(value, " is not positive and finite"));
    }
    xs.insert(point.first);
    ys.insert(point.second);
  }
  RateGrid grid;
  for (const double y : ys) grid.y_.logs.push_back(std::log(y));
  for (const double x : xs) {
    grid.x_.logs.push_back(std::log(x));
    for (const double y : ys) {
      const auto found = points.find({x, y});
      if (found == points.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the grid lacks the point (", x, ", ", y, ")"));
      }
      grid.rates_.push_back(found->second);
    }
  }
  return grid;
}

std::pair<size_t, double> RateGrid::Axis::Locate(double value) const {
  const double log = std::log(value);
  const auto above = std::upper_bound(logs.begin(), logs.end(), log);
  if (above == logs.begin()) return {0, 0.0};
  const size_t below = static_cast<size_t>(above - logs.begin()) - 1;
  if (above == logs.end()) return {below, 0.0};
  return {below, (log - logs[below]) / (*above - logs[below])};
}

double RateGrid::At(double x, double y) const {
  RALLY_CHECK(!empty(), "a rate was asked of an empty grid");
  const auto [i, dx] = x_.Locate(x);
  const auto [j, dy] = y_.Locate(y);
  const double* const row = rates_.data() + i * y_.logs.size() + j;
  const double* const next_row = dx > 0.0 ? row + y_.logs.size() : row;
  const size_t next = dy > 0.0 ? 1 : 0;
  const double near = row[0] + dy * (row[next] - row[0]);
  const double far = next_row[0] + dy * (next_row[next] - next_row[0]);
  return near + dx * (far - near);
}

}  // namespace rally
