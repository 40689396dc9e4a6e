#include "workers/model/matmul.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include <oneapi/dnnl/dnnl.hpp>

#include "common/check.h"
#include "workers/model/parallel_for.h"

namespace rally {
namespace {

// One engine for the process: oneDNN keeps its cache of generated code with it. Stateless to users.
const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc Describe(const MatrixView& view) {
  using dnnl::memory;
  const auto type =
      view.type == ElementType::kFloat32 ? memory::data_type::f32 : memory::data_type::bf16;
  const memory::dims strides =
      view.transposed ? memory::dims{1, view.rows} : memory::dims{view.columns, 1};
  return memory::desc({view.rows, view.columns}, type, strides);
}

void ClearMatrix(const MatrixView& view) {
  const size_t element = view.type == ElementType::kFloat32 ? 4 : 2;
  const size_t bytes = static_cast<size_t>(view.rows) * static_cast<size_t>(view.columns) * element;
  if (bytes > 0) std::memset(view.data, 0, bytes);
}

int64_t Elements(const MatrixView& view) { return view.rows * view.columns; }

using Floats = std::unique_ptr<float[]>;

// The view's values as float32, in `memory`; every bfloat16 is one. A float32 view stays itself.
MatrixView Widen(const MatrixView& view, Floats* memory) {
  if (view.type == ElementType::kFloat32) return view;
  *memory = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(Elements(view)));
  float* const to = memory->get();
  const auto* from = static_cast<const uint16_t*>(view.data);
  ParallelFor(Elements(view), kThreadGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
    }
  });
  return {to, ElementType::kFloat32, view.rows, view.columns, view.transposed};
}

// To nearest even; what is no number stays none.
uint16_t RoundToBfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace

void MatMulInFloat32(const MatrixView& a, const MatrixView& b, const MatrixView& c,
                     bool accumulate) {
  Floats memory[3];
  const MatrixView wide = Widen(c, &memory[2]);
  MatMul(Widen(a, &memory[0]), Widen(b, &memory[1]), wide, accumulate);
  if (c.type == ElementType::kFloat32) return;
  const float* const from = memory[2].get();
  auto* to = static_cast<uint16_t*>(c.data);
  ParallelFor(Elements(c), kThreadGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = RoundToBfloat16(from[i]);
  });
}

void MatMul(const MatrixView& a, const MatrixView& b, const MatrixView& c, bool accumulate) {
  RALLY_CHECK(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns && !c.transposed,
              "matrix sizes do not fit: " + std::to_string(a.rows) + "x" +
                  std::to_string(a.columns) + " by " + std::to_string(b.rows) + "x" +
                  std::to_string(b.columns));
  if (a.rows == 0 || b.columns == 0 || a.columns == 0) {
    if (!accumulate) ClearMatrix(c);
    return;
  }
  dnnl::primitive_attr attributes;
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::matmul::desc what(Describe(a), Describe(b), Describe(c));
  const bool bfloat16 = a.type == ElementType::kBfloat16;
  const dnnl::matmul::primitive_desc how(what, attributes, CpuEngine(), /*allow_empty=*/bfloat16);
  if (!how) return MatMulInFloat32(a, b, c, accumulate);
  dnnl::stream stream(CpuEngine());
  dnnl::matmul(how).execute(
      stream, {{DNNL_ARG_SRC, dnnl::memory(how.src_desc(), CpuEngine(), a.data)},
               {DNNL_ARG_WEIGHTS, dnnl::memory(how.weights_desc(), CpuEngine(), b.data)},
               {DNNL_ARG_DST, dnnl::memory(how.dst_desc(), CpuEngine(), c.data)}});
  stream.wait();
}

}  // namespace rally
