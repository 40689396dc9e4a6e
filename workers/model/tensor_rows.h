// Row operations of tensors, over LibTorch's threads.
//
// Internal to workers/model: this header needs LibTorch.
#ifndef RALLY_WORKERS_MODEL_TENSOR_ROWS_H_
#define RALLY_WORKERS_MODEL_TENSOR_ROWS_H_

#include <algorithm>

#include <ATen/ATen.h>

#include "workers/model/parallel_for.h"
#include "workers/model/row_operations.h"

namespace rally {

// For rows whose elements E are of this type: float32, bfloat16 or double.
inline const RowOperations& RowOperationsFor(at::ScalarType type) {
  if (type == at::kDouble) return RowOperationsFor(RowType::kFloat64);
  return RowOperationsFor(type == at::kFloat ? RowType::kFloat32 : RowType::kBfloat16);
}

// Row `row` of a contiguous tensor.
inline void* RowAt(const at::Tensor& rows, int64_t row) {
  return static_cast<char*>(rows.data_ptr()) +
         row * rows.stride(0) * static_cast<int64_t>(rows.element_size());
}

// Calls `run(begin, end)` for ranges of the rows of `like`, whose elements stand for the work.
template <class Run>
void ForRows(const at::Tensor& like, const Run& run) {
  const int64_t rows = like.size(0);
  const int64_t width = std::max<int64_t>(1, like.numel() / std::max<int64_t>(1, rows));
  ParallelFor(rows, std::max<int64_t>(1, kThreadGrain / width), run);
}

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_TENSOR_ROWS_H_
