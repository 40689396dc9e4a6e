#include "workers/model/head_loss.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "workers/model/tensor_matmul.h"

namespace rally {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlockLogits = int64_t{1} << 24;  // Elements of one block of logits.

// Sums -log p of the targets, and turns log-probabilities into the gradient of that sum.
template <typename T>
double LossOfBlock(const at::Tensor& log_p_BV, const int64_t* target, bool with_gradient) {
  const int64_t V = log_p_BV.size(1);
  T* log_p = log_p_BV.data_ptr<T>();
  double loss = 0.0;
  for (int64_t row = 0; row < log_p_BV.size(0); ++row) {
    if (target[row] >= 0) loss -= static_cast<double>(log_p[row * V + target[row]]);
  }
  if (!with_gradient) return loss;
  at::Tensor(log_p_BV).exp_();
  for (int64_t row = 0; row < log_p_BV.size(0); ++row) {
    if (target[row] >= 0) {
      log_p[row * V + target[row]] -= T{1};
    } else {
      std::fill_n(log_p + row * V, V, T{0});
    }
  }
  return loss;
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
      const at::Tensor p_BV = at::log_softmax(Product({x_BD}, {w_VD, true}, type), -1);
      const int64_t* target = target_T.data_ptr<int64_t>() + begin;
      loss += type == at::kDouble ? LossOfBlock<double>(p_BV, target, with_gradient)
                                  : LossOfBlock<float>(p_BV, target, with_gradient);
      if (!with_gradient) continue;
      const at::Tensor d_logits_BV = p_BV.to(w_VD.scalar_type());
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
