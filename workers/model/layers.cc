#include "workers/model/layers.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "workers/model/parallel_for.h"
#include "workers/model/tensor_matmul.h"
#include "workers/model/tensor_rows.h"

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

class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w_D,
                            double epsilon, at::ScalarType out) {
    const at::Tensor x_TD = x.contiguous();
    const at::Tensor scale_T = at::empty({x_TD.size(0)}, x_TD.options());
    const at::Tensor y_TD = at::empty(x_TD.sizes(), x_TD.options().dtype(out));
    ForRows(x_TD, [&](int64_t begin, int64_t end) {
      RowOperationsFor(out).norm(end - begin, x_TD.size(1), RowAt(x_TD, begin), w_D.data_ptr(),
                                 epsilon, RowAt(scale_T, begin), RowAt(y_TD, begin));
    });
    ctx->save_for_backward({x_TD, w_D, scale_T});
    return y_TD;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x_TD = saved[0];
    const at::Tensor& w_D = saved[1];
    const at::Tensor& scale_T = saved[2];
    const at::Tensor dy_TD = gradients[0].contiguous();
    const at::Tensor dx_TD = at::empty_like(x_TD);
    // By blocks of rows, so that the sum of dw has one order for any thread count.
    const int64_t blocks = (x_TD.size(0) + kNormRows - 1) / kNormRows;
    const at::Tensor dw_BD = at::zeros({blocks, x_TD.size(1)}, x_TD.options());
    ParallelFor(blocks, 1, [&](int64_t block_begin, int64_t block_end) {
      for (int64_t block = block_begin; block < block_end; ++block) {
        const int64_t begin = block * kNormRows;
        const int64_t rows = std::min(kNormRows, x_TD.size(0) - begin);
        RowOperationsFor(dy_TD.scalar_type())
            .norm_backward(rows, x_TD.size(1), RowAt(x_TD, begin), w_D.data_ptr(),
                           RowAt(scale_T, begin), RowAt(dy_TD, begin), RowAt(dx_TD, begin),
                           RowAt(dw_BD, block));
      }
    });
    return {dx_TD, dw_BD.sum(0), at::Tensor(), at::Tensor()};
  }
};

// Turns the pairs of every head by the table's angles, or back.
at::Tensor Turn(const at::Tensor& x, const at::Tensor& cosine_TP, const at::Tensor& sine_TP,
                bool backwards) {
  const at::Tensor x_TNH = x.contiguous();
  const at::Tensor y_TNH = at::empty_like(x_TNH);
  ForRows(x_TNH, [&](int64_t begin, int64_t end) {
    RowOperationsFor(x_TNH.scalar_type())
        .turn(end - begin, x_TNH.size(1), cosine_TP.size(1), RowAt(cosine_TP, begin),
              RowAt(sine_TP, begin), backwards, RowAt(x_TNH, begin), RowAt(y_TNH, begin));
  });
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

class SwiGluFunction : public torch::autograd::Function<SwiGluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    const at::Tensor gate_TF = gate.contiguous();
    const at::Tensor up_TF = up.contiguous();
    const at::Tensor y_TF = at::empty_like(gate_TF);
    ForRows(gate_TF, [&](int64_t begin, int64_t end) {
      RowOperationsFor(gate_TF.scalar_type())
          .swiglu((end - begin) * gate_TF.size(1), RowAt(gate_TF, begin), RowAt(up_TF, begin),
                  RowAt(y_TF, begin));
    });
    ctx->save_for_backward({gate_TF, up_TF});
    return y_TF;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& gate_TF = saved[0];
    const at::Tensor& up_TF = saved[1];
    const at::Tensor dy_TF = gradients[0].contiguous();
    const at::Tensor d_gate_TF = at::empty_like(gate_TF);
    const at::Tensor d_up_TF = at::empty_like(up_TF);
    ForRows(gate_TF, [&](int64_t begin, int64_t end) {
      RowOperationsFor(gate_TF.scalar_type())
          .swiglu_backward((end - begin) * gate_TF.size(1), RowAt(gate_TF, begin),
                           RowAt(up_TF, begin), RowAt(dy_TF, begin), RowAt(d_gate_TF, begin),
                           RowAt(d_up_TF, begin));
    });
    return {d_gate_TF, d_up_TF};
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
  return SwiGluFunction::apply(gate_TF, up_TF);
}

at::Tensor Embed(const at::Tensor& token_T, const Weight& embedding_VD) {
  return at::embedding(embedding_VD.master, token_T);
}

}  // namespace rally
