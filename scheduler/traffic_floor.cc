#include "scheduler/traffic_floor.h"

#include <algorithm>
#include <cmath>

#include "scheduler/ca_task.h"
#include "scheduler/plan_traffic.h"

namespace rally {
namespace {

struct RowBytes {
  double query = 0.0;  // A query row there, its output and LSE back.
  double key = 0.0;    // A key and value row.
};

// f(R, m) of the header.
double ServerFloor(double home_rows, double pairs, const RowBytes& bytes) {
  const double product = pairs + home_rows * (home_rows + 1.0) / 2.0;
  if (product * bytes.key <= bytes.query * home_rows * home_rows) {
    return bytes.key * std::max(0.0, product / home_rows - home_rows);
  }
  return 2.0 * std::sqrt(bytes.query * bytes.key * product) - (bytes.query + bytes.key) * home_rows;
}

}  // namespace

double ForwardTrafficFloor(const std::vector<Document>& documents, double most_pairs,
                           const ModelShape& model, int64_t element_bytes) {
  const RowBytes bytes = {LayerBytes({.queries = 1}, Direction::kForward, model, element_bytes),
                          LayerBytes({.keys = 1}, Direction::kForward, model, element_bytes)};
  double floor = 0.0;
  for (const Document& document : documents) {
    const int64_t rows = document.tokens;
    const auto pairs = static_cast<double>(AllowedPairs(0, rows, 0, rows, model.mask) - rows);
    if (pairs <= most_pairs) continue;
    const double servers = pairs / most_pairs;
    floor += servers * ServerFloor(static_cast<double>(rows) / servers, most_pairs, bytes);
  }
  return floor;
}

}  // namespace rally
