#include "workers/model/head_loss.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "workers/model/tensor_matmul.h"
#include "workers/model/tensor_rows.h"

namespace rally {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlockLogits = int64_t{1} << 24;  // Elements of one block of logits.

// Sum of the rows' losses. Their gradient goes to `gradient_BV` unless that is undefined; it may be
// the logits, which are overwritten.
double LossOfBlock(const at::Tensor& logits_BV, const int64_t* target,
                   const at::Tensor& gradient_BV) {
  const bool with_gradient = gradient_BV.defined();
  const RowOperations& operations =
      RowOperationsFor((with_gradient ? gradient_BV : logits_BV).scalar_type());
  std::vector<double> losses(static_cast<size_t>(logits_BV.size(0)), 0.0);
  ForRows(logits_BV, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      void* gradient = with_gradient ? RowAt(gradient_BV, row) : nullptr;
      if (target[row] >= 0) {
        losses[static_cast<size_t>(row)] = operations.cross_entropy(
            logits_BV.size(1), RowAt(logits_BV, row), target[row], gradient);
      } else if (with_gradient) {
        std::memset(gradient, 0, gradient_BV.size(1) * gradient_BV.element_size());
      }
    }
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

class HeadLossFunction : public torch::autograd::Function<HeadLossFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& master,
                            const at::Tensor& w_VD, const at::Tensor& target_T,
                            bool with_gradient) {
    const at::ScalarType type = master.scalar_type();
    const int64_t T = x_TD.size(0);
    const int64_t block = std::max<int64_t>(16, kBlockLogits / w_VD.size(0));
    const at::Tensor dx_TD = with_gradient ? at::zeros_like(x_TD) : at::Tensor();
    const at::Tensor dw_VD = with_gradient ? at::zeros_like(master) : at::Tensor();
    double loss = 0.0;
    for (int64_t begin = 0; begin < T; begin += block) {
      const int64_t rows = std::min(block, T - begin);
      const at::Tensor x_BD = x_TD.narrow(0, begin, rows);
      const at::Tensor logits_BV = Product({x_BD}, {w_VD, true}, type);
      at::Tensor d_logits_BV;
      if (with_gradient) {
        d_logits_BV =
            w_VD.scalar_type() == type ? logits_BV : at::empty(logits_BV.sizes(), w_VD.options());
      }
      loss += LossOfBlock(logits_BV, target_T.data_ptr<int64_t>() + begin, d_logits_BV);
      if (!with_gradient) continue;
      AddProduct({d_logits_BV}, {w_VD}, dx_TD.narrow(0, begin, rows));
      AddProduct({d_logits_BV, true}, {x_BD}, dw_VD);
    }
    if (with_gradient) ctx->save_for_backward({dx_TD, dw_VD});
    return at::full({}, loss, x_TD.options().dtype(at::kDouble));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const double scale = gradients[0].item<double>();
    at::Tensor dx_TD = saved[0];
    at::Tensor dw_VD = saved[1];
    return {dx_TD.mul_(scale), dw_VD.mul_(scale), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor HeadLoss(const at::Tensor& x_TD, const Weight& head_VD, const at::Tensor& target_T) {
  return HeadLossFunction::apply(x_TD, head_VD.master, head_VD.compute, target_T,
                                 at::GradMode::is_enabled());
}

}  // namespace rally
