// What every test of the attention kernel does: a kernel of each instruction set, and the
// comparison of a case with the reference in double precision.
#ifndef RALLY_TESTS_ATTENTION_KERNEL_CHECK_H_
#define RALLY_TESTS_ATTENTION_KERNEL_CHECK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/attention/attention_case.h"
#include "tests/attention/reference_attention.h"
#include "workers/attention/attention_kernel.h"

namespace rally {

inline constexpr AttentionElement kElements[] = {AttentionElement::kFloat32,
                                                 AttentionElement::kBfloat16};

class AttentionElementTest : public ::testing::TestWithParam<AttentionElement> {};
std::string ElementName(const ::testing::TestParamInfo<AttentionElement>& info);

using KernelList = std::vector<std::unique_ptr<AttentionKernel>>;

// One kernel of `threads` threads for each instruction set this CPU has.
KernelList Kernels(int32_t threads);

// Largest error over bound; what is not finite must be the same in both.
double WorstShare(const std::vector<float>& actual, const ReferenceTensor& expected);

// Of the terms that a kernel sums by products, as ReferenceForward takes it.
double Rounding(const AttentionKernel& kernel, AttentionElement element);

// The reference of a whole case, for kernels that round alike.
struct Expected {
  double rounding = 0.0;
  ReferenceOutput output;
  ReferenceGradient gradient;
};

// Leaves the reference's statistics of rows in the case.
Expected ReferenceOf(AttentionCase* one, double rounding);

// On each kernel: computes the case cut into tasks, merges the parts and compares with the
// reference of the whole.
void CheckCase(AttentionCase* one, const KernelList& kernels);

}  // namespace rally

#endif  // RALLY_TESTS_ATTENTION_KERNEL_CHECK_H_
