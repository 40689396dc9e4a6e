#include "tests/attention/kernel_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace rally {

std::string ElementName(const ::testing::TestParamInfo<AttentionElement>& info) {
  return info.param == AttentionElement::kFloat32 ? "Float32" : "Bfloat16";
}

KernelList Kernels(int32_t threads) {
  KernelList kernels;
  for (const CpuInstructionSet set : AvailableCpuInstructionSets()) {
    kernels.push_back(*MakeCpuAttentionKernel({.threads = threads, .instruction_set = set}));
  }
  return kernels;
}

double WorstShare(const std::vector<float>& actual, const ReferenceTensor& expected) {
  double worst = 0.0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected.value[i])) {
      if (actual[i] != expected.value[i]) return std::numeric_limits<double>::infinity();
      continue;
    }
    const double error = std::abs(actual[i] - expected.value[i]);
    if (!(error <= expected.bound[i])) {
      worst = std::max(worst, expected.bound[i] > 0 ? error / expected.bound[i]
                                                    : std::numeric_limits<double>::infinity());
      if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    } else if (expected.bound[i] > 0) {
      worst = std::max(worst, error / expected.bound[i]);
    }
  }
  return worst;
}

double Rounding(const AttentionKernel& kernel, AttentionElement element) {
  const bool rounds = element == AttentionElement::kBfloat16 && kernel.name() == "avx512_bf16";
  return rounds ? kBfloat16Rounding : 0.0;
}

Expected ReferenceOf(AttentionCase* one, double rounding) {
  Expected expected;
  expected.rounding = rounding;
  expected.output = ReferenceForward(one->shape, one->WholeOfFloats(), rounding);
  one->SetRowStatistics(expected.output);
  expected.gradient = ReferenceBackward(one->shape, one->WholeOfFloats(), rounding);
  return expected;
}

void CheckCase(AttentionCase* one, const KernelList& kernels) {
  Expected expected = ReferenceOf(one, 0.0);
  for (const auto& kernel : kernels) {
    SCOPED_TRACE(kernel->name() + " " + one->Describe());
    const double rounding = Rounding(*kernel, one->shape.element);
    if (rounding != expected.rounding) expected = ReferenceOf(one, rounding);
    ASSERT_TRUE(kernel->Forward(one->shape, one->ForwardTasks()).ok());
    one->MergeParts();
    EXPECT_LE(WorstShare(one->out, expected.output.out), 1.0) << "out";
    EXPECT_LE(WorstShare(one->lse, expected.output.lse), 1.0) << "lse";

    one->SetRowStatistics(expected.output);
    ASSERT_TRUE(kernel->Backward(one->shape, one->BackwardTasks()).ok());
    one->SumQueryGradients();
    EXPECT_LE(WorstShare(one->d_q, expected.gradient.d_q), 1.0) << "d_q";
    EXPECT_LE(WorstShare(one->d_k, expected.gradient.d_k), 1.0) << "d_k";
    EXPECT_LE(WorstShare(one->d_v, expected.gradient.d_v), 1.0) << "d_v";
  }
}

}  // namespace rally
