#include <memory>

#include <ATen/ATen.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tests/bench/paced_compute.h"
#include "workers/model/core_attention.h"

namespace rally::bench {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The identity, which takes a given time forward and twice that backward.
class TakeTime : public torch::autograd::Function<TakeTime> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, double seconds) {
    ctx->saved_data["seconds"] = seconds;
    absl::SleepFor(absl::Seconds(seconds));
    return x.clone();
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    absl::SleepFor(absl::Seconds(2.0 * ctx->saved_data["seconds"].toDouble()));
    return {gradients[0], at::Tensor()};
  }
};

class PacedCoreAttention final : public CoreAttention {
 public:
  PacedCoreAttention(CoreAttention* base, double seconds_per_row)
      : base_(base), seconds_per_row_(seconds_per_row) {}

  at::Tensor Dispatch(const Phase& phase, const QueryKeyValue& rows,
                      const QueryKeyValue* ping) override {
    const double seconds = seconds_per_row_ * static_cast<double>(rows.q_TNH.size(0));
    QueryKeyValue paced = rows;
    paced.q_TNH = TakeTime::apply(rows.q_TNH, seconds);
    return base_->Dispatch(phase, paced, ping);
  }

  at::Tensor Collect(const at::Tensor& ticket) override { return base_->Collect(ticket); }

 private:
  CoreAttention* const base_;
  const double seconds_per_row_;
};

}  // namespace

DecorateCoreAttention PaceLayers(const PacedCompute& pace) {
  return [pace](CoreAttention* base) {
    return std::make_unique<PacedCoreAttention>(base, pace.linear_seconds_per_token);
  };
}

}  // namespace rally::bench
