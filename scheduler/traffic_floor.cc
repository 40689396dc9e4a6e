#include "scheduler/traffic_floor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "scheduler/ca_task.h"
#include "scheduler/row_costs.h"

namespace rally {
namespace {

// f(R, m) of the header.
double ServerFloor(double home_rows, double pairs, const RowCosts& bytes) {
  const double product = pairs + home_rows * (home_rows + 1.0) / 2.0;
  if (product * bytes.key_value <= bytes.query * home_rows * home_rows) {
    return bytes.key_value * std::max(0.0, product / home_rows - home_rows);
  }
  return 2.0 * std::sqrt(bytes.query * bytes.key_value * product) -
         (bytes.query + bytes.key_value) * home_rows;
}

// Step 3 of the header.
double EqualServersFloor(double rows, double pairs, double most_pairs, const RowCosts& bytes) {
  const double servers = pairs / most_pairs;
  return servers * ServerFloor(rows / servers, most_pairs, bytes);
}

// Step 4 of the header. Homes are whole multiples of rows / steps.
class WholeServersFloor {
 public:
  WholeServersFloor(double rows, double pairs, double most_pairs, const RowCosts& bytes, int steps)
      : pairs_(pairs), step_rows_(rows / steps) {
    for (int i = 0; i <= steps; ++i) {
      const double home = step_rows_ * i;
      const double free = std::clamp(home * (home - 1.0) / 2.0, 0.0, most_pairs);
      const double room = most_pairs - free;
      homes_.push_back(
          {free, room, room > 0.0 ? ServerFloor(home, most_pairs, bytes) / room : 0.0});
    }
  }

  // The least bytes, with this many largest homes told apart.
  double Least(int servers) {
    least_ = std::numeric_limits<double>::infinity();
    const int steps = static_cast<int>(homes_.size()) - 1;
    // Rounding up takes less than a step for each server.
    Choose(servers, steps, steps + servers, pairs_);
    return least_;
  }

 private:
  struct Home {
    double free = 0.0;      // Pairs of its own rows.
    double room = 0.0;      // Pairs beyond those, up to the limit.
    double per_pair = 0.0;  // Bytes of each: c(R).
  };

  // Chooses `servers` further homes of at most `largest` steps; `left` steps and `pairs` that are
  // not free so far remain.
  void Choose(int servers, int largest, int left, double pairs) {
    if (servers == 0) {
      // The rest of the rows, in homes that are no larger than the last.
      Rate(pairs - step_rows_ * left * step_rows_ * largest / 2.0);
      return;
    }
    for (int home = std::min(largest, left); home >= 1; --home) {
      chosen_.push_back(home);
      Choose(servers - 1, home, left - home, pairs - homes_[static_cast<size_t>(home)].free);
      chosen_.pop_back();
    }
  }

  // The cost of `pairs` that are not free over the chosen homes, the largest first.
  void Rate(double pairs) {
    double bytes = 0.0;
    for (size_t i = 0; i < chosen_.size() && pairs > 0.0; ++i) {
      const Home& home = homes_[static_cast<size_t>(chosen_[i])];
      const bool last = i + 1 == chosen_.size();
      const double taken = last ? pairs : std::min(pairs, home.room);
      bytes += taken * home.per_pair;
      pairs -= taken;
    }
    least_ = std::min(least_, bytes);
  }

  const double pairs_;
  const double step_rows_;
  std::vector<Home> homes_;  // By steps.
  std::vector<int> chosen_;  // Steps of the homes chosen so far, falling.
  double least_ = 0.0;
};

double DocumentFloor(double rows, double pairs, double most_pairs, const RowCosts& bytes) {
  const double equal = EqualServersFloor(rows, pairs, most_pairs, bytes);
  if (pairs <= 2.0 * most_pairs) {
    return std::max(equal, WholeServersFloor(rows, pairs, most_pairs, bytes, 512).Least(2));
  }
  if (pairs <= 4.0 * most_pairs) {
    return std::max(equal, WholeServersFloor(rows, pairs, most_pairs, bytes, 128).Least(3));
  }
  return equal;
}

}  // namespace

double ForwardTrafficFloor(const std::vector<Document>& documents, double most_pairs,
                           const ModelShape& model, int64_t element_bytes) {
  const RowCosts bytes = RowCostsOf(model, element_bytes);
  double floor = 0.0;
  for (const Document& document : documents) {
    const int64_t rows = document.tokens;
    const auto pairs = static_cast<double>(AllowedPairs(0, rows, 0, rows, model.mask) - rows);
    if (pairs <= most_pairs) continue;
    floor += DocumentFloor(static_cast<double>(rows), pairs, most_pairs, bytes);
  }
  return floor;
}

}  // namespace rally
