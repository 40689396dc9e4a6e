// Matrix products of tensors: oneDNN for float32 and bfloat16, LibTorch for double (tests).
//
// Internal to workers/model: this header needs LibTorch. Not differentiable; contiguous inputs.
#ifndef RALLY_WORKERS_MODEL_TENSOR_MATMUL_H_
#define RALLY_WORKERS_MODEL_TENSOR_MATMUL_H_

#include <ATen/ATen.h>

#include "workers/model/matmul.h"

namespace rally {

// A matrix, or its transpose, as a factor.
struct Factor {
  const at::Tensor& tensor;
  bool transposed = false;

  int64_t rows() const { return tensor.size(transposed ? 1 : 0); }
  int64_t columns() const { return tensor.size(transposed ? 0 : 1); }
  MatrixView View() const {
    const ElementType type =
        tensor.scalar_type() == at::kFloat ? ElementType::kFloat32 : ElementType::kBfloat16;
    return {tensor.data_ptr(), type, rows(), columns(), transposed};
  }
};

// *c += a b.
inline void AddProduct(const Factor& a, const Factor& b, const at::Tensor& c) {
  if (c.scalar_type() == at::kDouble) {
    at::Tensor sum = c;
    sum.addmm_(a.transposed ? a.tensor.t() : a.tensor, b.transposed ? b.tensor.t() : b.tensor);
  } else {
    MatMul(a.View(), b.View(), Factor{c}.View(), /*accumulate=*/true);
  }
}

// a b, as type `out`.
inline at::Tensor Product(const Factor& a, const Factor& b, at::ScalarType out) {
  if (out == at::kDouble) {
    return at::mm(a.transposed ? a.tensor.t() : a.tensor, b.transposed ? b.tensor.t() : b.tensor);
  }
  at::Tensor c = at::empty({a.rows(), b.columns()}, a.tensor.options().dtype(out));
  MatMul(a.View(), b.View(), Factor{c}.View(), /*accumulate=*/false);
  return c;
}

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_TENSOR_MATMUL_H_
