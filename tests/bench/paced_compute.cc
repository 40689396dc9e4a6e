#include "tests/bench/paced_compute.h"

#include <algorithm>
#include <string>

#include <absl/time/clock.h>
#include <absl/time/time.h>

namespace rally::bench {
namespace {

class PacedKernel final : public AttentionKernel {
 public:
  explicit PacedKernel(const PacedCompute& pace) : pace_(pace) {}

  absl::Status Forward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    const absl::Time start = absl::Now();
    const int64_t q_row = int64_t{shape.heads} * shape.head_dim;
    for (const VarlenTask& task : tasks) {
      std::fill_n(task.out, task.q_rows * q_row, 0.0f);
      std::fill_n(task.lse, task.q_rows * shape.heads, 0.0f);
    }
    absl::SleepFor(start + Cost(shape, tasks, 1.0) - absl::Now());
    return absl::OkStatus();
  }

  absl::Status Backward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    const absl::Time start = absl::Now();
    const int64_t q_row = int64_t{shape.heads} * shape.head_dim;
    for (const VarlenTask& task : tasks) std::fill_n(task.d_q, task.q_rows * q_row, 0.0f);
    absl::SleepFor(start + Cost(shape, tasks, 2.5) - absl::Now());
    return absl::OkStatus();
  }

  std::string name() const override { return "paced"; }

 private:
  absl::Duration Cost(const AttentionShape& shape, absl::Span<const VarlenTask> tasks,
                      double factor) const {
    int64_t pairs = 0;
    for (const VarlenTask& task : tasks) {
      pairs += AllowedPairs(task.q_position, task.q_position + task.q_rows, task.kv_position,
                            task.kv_position + task.kv_rows, shape.mask);
    }
    const double flops = 4.0 * shape.heads * shape.head_dim * static_cast<double>(pairs) * factor;
    return absl::Seconds(flops / pace_.attention_flops_per_second);
  }

  const PacedCompute pace_;
};

}  // namespace

std::unique_ptr<AttentionKernel> MakePacedKernel(const PacedCompute& pace) {
  return std::make_unique<PacedKernel>(pace);
}

}  // namespace rally::bench
