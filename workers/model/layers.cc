#include "workers/model/layers.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "workers/model/tensor_matmul.h"

namespace rally {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kNormRows = 64;  // Rows of a block.

class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TI, const at::Tensor& master,
                            const at::Tensor& w_OI, at::ScalarType out) {
    ctx->save_for_backward({x_TI, w_OI});
    ctx->saved_data["master_type"] = static_cast<int64_t>(master.scalar_type());
    return Product({x_TI}, {w_OI, true}, out);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x_TI = saved[0];
    const at::Tensor& w_OI = saved[1];
    const auto master_type = static_cast<at::ScalarType>(ctx->saved_data["master_type"].toInt());
    const at::Tensor dy_TO = gradients[0].to(w_OI.scalar_type()).contiguous();
    const at::Tensor dx_TI = Product({dy_TO}, {w_OI}, x_TI.scalar_type());
    const at::Tensor dw_OI = Product({dy_TO, true}, {x_TI}, master_type);
    return {dx_TI, dw_OI, at::Tensor(), at::Tensor()};
  }
};

// y = x * scale * w per row; keeps the rows' scales. One pass over memory: a row stays in cache.
template <typename T>
void NormRows(const at::Tensor& x_TD, const at::Tensor& w_D, double epsilon,
              const at::Tensor& scale_T, const at::Tensor& y_TD) {
  const int64_t D = x_TD.size(1);
  const T* w = w_D.data_ptr<T>();
  at::parallel_for(0, x_TD.size(0), kNormRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = x_TD.data_ptr<T>() + row * D;
      T* y = y_TD.data_ptr<T>() + row * D;
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t d = 0; d < D; ++d) sum += x[d] * x[d];
      const T scale = T{1} / std::sqrt(sum / static_cast<T>(D) + static_cast<T>(epsilon));
      scale_T.data_ptr<T>()[row] = scale;
#pragma omp simd
      for (int64_t d = 0; d < D; ++d) y[d] = x[d] * scale * w[d];
    }
  });
}

// dx of every row, and dw by blocks of rows, so that its sum has one order for any thread count.
template <typename T>
void NormRowsBackward(const at::Tensor& x_TD, const at::Tensor& w_D, const at::Tensor& scale_T,
                      const at::Tensor& dy_TD, const at::Tensor& dx_TD, const at::Tensor& dw_BD) {
  const int64_t D = x_TD.size(1);
  const T* w = w_D.data_ptr<T>();
  at::parallel_for(0, dw_BD.size(0), 1, [&](int64_t block_begin, int64_t block_end) {
    const int64_t end = std::min(block_end * kNormRows, x_TD.size(0));
    for (int64_t row = block_begin * kNormRows; row < end; ++row) {
      const T* x = x_TD.data_ptr<T>() + row * D;
      const T* dy = dy_TD.data_ptr<T>() + row * D;
      T* dx = dx_TD.data_ptr<T>() + row * D;
      T* dw = dw_BD.data_ptr<T>() + row / kNormRows * D;
      const T scale = scale_T.data_ptr<T>()[row];
      T along = 0;
#pragma omp simd reduction(+ : along)
      for (int64_t d = 0; d < D; ++d) along += dy[d] * w[d] * x[d];
      along *= scale * scale / static_cast<T>(D);
#pragma omp simd
      for (int64_t d = 0; d < D; ++d) {
        dx[d] = scale * (dy[d] * w[d] - along * x[d]);
        dw[d] += dy[d] * x[d] * scale;
      }
    }
  });
}

class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w_D,
                            double epsilon, at::ScalarType out) {
    const at::Tensor x_TD = x.contiguous();
    const at::Tensor scale_T = at::empty({x_TD.size(0)}, x_TD.options());
    const at::Tensor y_TD = at::empty_like(x_TD);
    x_TD.scalar_type() == at::kDouble ? NormRows<double>(x_TD, w_D, epsilon, scale_T, y_TD)
                                      : NormRows<float>(x_TD, w_D, epsilon, scale_T, y_TD);
    ctx->save_for_backward({x_TD, w_D, scale_T});
    return y_TD.to(out);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x_TD = saved[0];
    const at::Tensor& w_D = saved[1];
    const at::Tensor& scale_T = saved[2];
    const at::Tensor dy_TD = gradients[0].to(x_TD.scalar_type()).contiguous();
    const at::Tensor dx_TD = at::empty_like(x_TD);
    const int64_t blocks = (x_TD.size(0) + kNormRows - 1) / kNormRows;
    const at::Tensor dw_BD = at::zeros({blocks, x_TD.size(1)}, x_TD.options());
    x_TD.scalar_type() == at::kDouble
        ? NormRowsBackward<double>(x_TD, w_D, scale_T, dy_TD, dx_TD, dw_BD)
        : NormRowsBackward<float>(x_TD, w_D, scale_T, dy_TD, dx_TD, dw_BD);
    return {dx_TD, dw_BD.sum(0), at::Tensor(), at::Tensor()};
  }
};

// Turns the pairs of every head by the table's angles times `direction`.
at::Tensor Turn(const at::Tensor& x_TNH, const at::Tensor& cosine_TP, const at::Tensor& sine_TP,
                bool backwards) {
  const int64_t P = cosine_TP.size(1);
  const at::Tensor cosine = cosine_TP.unsqueeze(1);
  const at::Tensor sine = sine_TP.unsqueeze(1);
  const at::Tensor first = x_TNH.narrow(2, 0, P);
  const at::Tensor second = x_TNH.narrow(2, P, P);
  const at::Tensor y_TNH = at::empty_like(x_TNH, at::MemoryFormat::Contiguous);
  at::Tensor y_first = y_TNH.narrow(2, 0, P);
  at::Tensor y_second = y_TNH.narrow(2, P, P);
  const double sign = backwards ? -1.0 : 1.0;
  at::mul_out(y_first, first, cosine);
  y_first.addcmul_(second, sine, -sign);
  at::mul_out(y_second, second, cosine);
  y_second.addcmul_(first, sine, sign);
  return y_TNH;
}

class RopeFunction : public torch::autograd::Function<RopeFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TNH,
                            const at::Tensor& cosine_TP, const at::Tensor& sine_TP) {
    ctx->save_for_backward({cosine_TP, sine_TP});
    return Turn(x_TNH, cosine_TP, sine_TP, false);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    return {Turn(gradients[0], saved[0], saved[1], true), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Linear(const at::Tensor& x_TI, const Weight& weight_OI, at::ScalarType out) {
  return LinearFunction::apply(x_TI, weight_OI.master, weight_OI.compute, out);
}

at::Tensor RmsNorm(const at::Tensor& x_TD, const Weight& weight_D, double epsilon,
                   at::ScalarType out) {
  return RmsNormFunction::apply(x_TD, weight_D.master, epsilon, out);
}

RopeTable MakeRopeTable(const at::Tensor& position_T, int64_t head_dim, double theta,
                        at::ScalarType type) {
  const at::Tensor exponent_P =
      at::arange(0, head_dim, 2, position_T.options().dtype(at::kDouble)) / head_dim;
  const at::Tensor frequency_P = at::pow(theta, exponent_P.neg());
  const at::Tensor angle_TP = position_T.to(at::kDouble).unsqueeze(1) * frequency_P.unsqueeze(0);
  return {angle_TP.cos().to(type), angle_TP.sin().to(type)};
}

at::Tensor Rope(const at::Tensor& x_TNH, const RopeTable& table) {
  return RopeFunction::apply(x_TNH, table.cosine_TP, table.sine_TP);
}

at::Tensor SwiGlu(const at::Tensor& gate_TF, const at::Tensor& up_TF) {
  return at::silu(gate_TF) * up_TF;
}

at::Tensor Embed(const at::Tensor& token_T, const Weight& embedding_VD) {
  return at::embedding(embedding_VD.master, token_T);
}

}  // namespace rally
