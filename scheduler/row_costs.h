// RowCosts: the bytes that one row costs when it leaves its home, in one layer's forward pass.
//
// A query row goes out and comes back as an output row with the log-sum-exp of its heads; a
// key/value row goes one way. The backward pass moves the same rows again, so comparisons hold for
// both. Plain data and pure functions; any thread.
#ifndef RALLY_SCHEDULER_ROW_COSTS_H_
#define RALLY_SCHEDULER_ROW_COSTS_H_

#include <cstdint>

#include "scheduler/model_shape.h"
#include "scheduler/plan_traffic.h"

namespace rally {

struct RowCosts {
  double query = 0.0;      // Bytes of a query row, its output row and its log-sum-exp.
  double key_value = 0.0;  // Bytes of a key row and a value row.

  double Bytes(const RemoteRows& rows) const {
    return static_cast<double>(rows.queries) * query + static_cast<double>(rows.keys) * key_value;
  }
};

// `element_bytes` of the rows that travel: 2 for bfloat16, 4 for float32.
inline RowCosts RowCostsOf(const ModelShape& model, int64_t element_bytes) {
  return {LayerBytes(RemoteRows{1, 0}, Direction::kForward, model, element_bytes),
          LayerBytes(RemoteRows{0, 1}, Direction::kForward, model, element_bytes)};
}

}  // namespace rally

#endif  // RALLY_SCHEDULER_ROW_COSTS_H_
