// MatMul: matrix products of the linear layers, on oneDNN.
//
// LibTorch 1.13 sends float32 products to the system's BLAS, whose speed depends on how that was
// built and on its environment; oneDNN picks its own code for this CPU, multiplies bfloat16 with
// float32 sums, and writes float32 results from bfloat16 inputs. Threads are OpenMP's, as many as
// the calling thread has been given.
//
// Pure function on the caller's host memory; any thread. Deterministic for a given number of
// threads. Throws dnnl::error (a std::exception) when oneDNN refuses; only the trainer catches.
#ifndef RALLY_WORKERS_MODEL_MATMUL_H_
#define RALLY_WORKERS_MODEL_MATMUL_H_

#include <cstdint>

namespace rally {

enum class ElementType : uint8_t { kFloat32 = 0, kBfloat16 };

// A view of a matrix of `rows` x `columns`. `transposed` says that memory holds the transpose,
// row after row; otherwise the matrix itself. No padding between rows.
struct MatrixView {
  void* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t rows = 0;
  int64_t columns = 0;
  bool transposed = false;
};

// c = a b, or c += a b with `accumulate`. `a` and `b` have one type; `c` is not transposed and is
// float32 or of that type. Empty matrices are allowed.
void MatMul(const MatrixView& a, const MatrixView& b, const MatrixView& c, bool accumulate);

// The same by float32 products: what MatMul does with bfloat16 on a CPU without AVX-512, where
// oneDNN has none. Sums are float32 either way.
void MatMulInFloat32(const MatrixView& a, const MatrixView& b, const MatrixView& c,
                     bool accumulate);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_MATMUL_H_
