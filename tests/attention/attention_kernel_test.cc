#include "workers/attention/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/attention/attention_case.h"
#include "tests/attention/reference_attention.h"

namespace rally {
namespace {

using ::testing::HasSubstr;

constexpr CpuInstructionSet kInstructionSets[] = {
    CpuInstructionSet::kPortable, CpuInstructionSet::kAvx2, CpuInstructionSet::kAvx512};

// One kernel of `threads` threads for each instruction set this CPU has.
std::vector<std::unique_ptr<AttentionKernel>> Kernels(int32_t threads) {
  std::vector<std::unique_ptr<AttentionKernel>> kernels;
  for (const CpuInstructionSet set : kInstructionSets) {
    auto kernel = MakeCpuAttentionKernel({.threads = threads, .instruction_set = set});
    if (kernel.ok()) kernels.push_back(*std::move(kernel));
  }
  return kernels;
}

// Largest error over bound; what is not finite must be the same in both.
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

// On each kernel: computes the case cut into tasks, merges the parts and compares with the
// reference of the whole.
void CheckCase(AttentionCase* one, const std::vector<std::unique_ptr<AttentionKernel>>& kernels) {
  const ReferenceOutput output = ReferenceForward(one->shape, one->Whole());
  one->SetRowStatistics(output);
  const ReferenceGradient gradient = ReferenceBackward(one->shape, one->Whole());
  for (const auto& kernel : kernels) {
    SCOPED_TRACE(kernel->name() + " " + one->Describe());
    ASSERT_TRUE(kernel->Forward(one->shape, one->ForwardTasks()).ok());
    one->MergeParts();
    EXPECT_LE(WorstShare(one->out, output.out), 1.0) << "out";
    EXPECT_LE(WorstShare(one->lse, output.lse), 1.0) << "lse";

    one->SetRowStatistics(output);
    ASSERT_TRUE(kernel->Backward(one->shape, one->BackwardTasks()).ok());
    one->SumQueryGradients();
    EXPECT_LE(WorstShare(one->d_q, gradient.d_q), 1.0) << "d_q";
    EXPECT_LE(WorstShare(one->d_k, gradient.d_k), 1.0) << "d_k";
    EXPECT_LE(WorstShare(one->d_v, gradient.d_v), 1.0) << "d_v";
  }
}

class AttentionKernelRandomTest : public ::testing::TestWithParam<int> {};

// Every kind of case occurs among the first few; a sanitizer makes each many times slower.
#ifdef RALLY_SANITIZE
constexpr int kCases = 15;
#else
constexpr int kCases = 300;
#endif

// 8 x kCases cases, each on every instruction set.
TEST_P(AttentionKernelRandomTest, AgreesWithReference) {
  const auto kernels = Kernels(2);
  ASSERT_FALSE(kernels.empty());
  for (int i = 0; i < kCases && !HasFailure(); ++i) {
    AttentionCase one = RandomAttentionCase(static_cast<uint64_t>(GetParam() * kCases + i));
    CheckCase(&one, kernels);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AttentionKernelRandomTest, ::testing::Range(0, 8));

TEST(AttentionKernelTest, AgreesWithReferenceOverManyBlocks) {
  for (const int32_t head_dim : {32, 64, 96, 128, 192, 256}) {
    for (const int64_t window : {0, 200}) {
      AttentionCase one({.heads = 2, .kv_heads = 1, .head_dim = head_dim, .mask = {window}}, 309,
                        401, /*q_position=*/92, /*kv_position=*/0, /*seed=*/7);
      one.Cut({0, 309}, {0, 401});
      CheckCase(&one, Kernels(2));
    }
  }
}

// Everything a kernel computes of a case; rows' statistics are the kernel's own.
void Compute(AttentionCase* one, AttentionKernel* kernel) {
  ASSERT_TRUE(kernel->Forward(one->shape, one->ForwardTasks()).ok());
  one->MergeParts();
  ASSERT_TRUE(kernel->Backward(one->shape, one->BackwardTasks()).ok());
  one->SumQueryGradients();
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(AttentionKernelTest, ThreadsDoNotChangeABit) {
  for (const CpuInstructionSet set : kInstructionSets) {
    auto single = MakeCpuAttentionKernel({.threads = 1, .instruction_set = set});
    auto several = MakeCpuAttentionKernel({.threads = 5, .instruction_set = set});
    if (!single.ok()) continue;
    for (const int64_t window : {0, 333}) {
      AttentionCase expected({.heads = 4, .kv_heads = 2, .head_dim = 64, .mask = {window}}, 700,
                             1000, 300, 0, 11);
      // Two tasks share each key range.
      expected.Cut({0, 301, 700}, {0, 517, 1000});
      AttentionCase one = expected;
      Compute(&expected, single->get());
      for (int repeat = 0; repeat < 5; ++repeat) {
        Compute(&one, several->get());
        EXPECT_TRUE(SameBits(one.out, expected.out));
        EXPECT_TRUE(SameBits(one.lse, expected.lse));
        EXPECT_TRUE(SameBits(one.d_q, expected.d_q));
        EXPECT_TRUE(SameBits(one.d_k, expected.d_k));
        EXPECT_TRUE(SameBits(one.d_v, expected.d_v));
      }
    }
  }
}

TEST(AttentionKernelTest, RowsWithoutKeysAreZero) {
  const float infinity = std::numeric_limits<float>::infinity();
  // Every key lies after every query.
  AttentionCase one({.heads = 1, .kv_heads = 1, .head_dim = 32}, 5, 3, 0, 5, 3);
  one.Cut({0, 5}, {0, 3});
  for (const auto& kernel : Kernels(1)) {
    std::fill(one.out.begin(), one.out.end(), 1.0f);
    VarlenTask task = one.Whole();
    ASSERT_TRUE(kernel->Forward(one.shape, {task}).ok());
    EXPECT_THAT(one.out, ::testing::Each(0.0f));
    EXPECT_THAT(one.lse, ::testing::Each(-infinity));
    std::fill(one.d_q.begin(), one.d_q.end(), 1.0f);
    std::fill(one.d_k.begin(), one.d_k.end(), 2.0f);
    ASSERT_TRUE(kernel->Backward(one.shape, {task}).ok());
    EXPECT_THAT(one.d_q, ::testing::Each(0.0f));
    EXPECT_THAT(one.d_k, ::testing::Each(2.0f));
  }
}

TEST(AttentionKernelTest, LargeScoresNeitherOverflowNorMix) {
  AttentionCase one({.heads = 1, .kv_heads = 1, .head_dim = 64}, 70, 70, 0, 0, 5);
  one.Cut({0, 70}, {0, 70});
  for (float& x : one.q) x *= 1e4f;
  for (float& x : one.k) x *= 1e4f;
  for (const auto& kernel : Kernels(1)) {
    ASSERT_TRUE(kernel->Forward(one.shape, {one.Whole()}).ok());
    for (const float x : one.out) ASSERT_TRUE(std::isfinite(x)) << kernel->name();
    for (const float x : one.lse) ASSERT_TRUE(std::isfinite(x)) << kernel->name();
    // The first row sees one key alone.
    for (int d = 0; d < 64; ++d) EXPECT_EQ(one.out[d], one.v[d]) << kernel->name();
  }
}

// Rows [200, 300) see key 200; with a window of 50, rows [200, 250).
TEST(AttentionKernelTest, NanReachesTheRowsThatSeeItAlone) {
  for (const int64_t window : {0, 50}) {
    const int seen_until = window == 0 ? 300 : 250;
    AttentionCase whole({.heads = 2, .kv_heads = 1, .head_dim = 32, .mask = {window}}, 300, 300, 0,
                        0, 5);
    whole.Cut({0, 300}, {0, 300});
    const ReferenceOutput expected = ReferenceForward(whole.shape, whole.Whole());
    for (std::vector<float> AttentionCase::*tensor : {&AttentionCase::k, &AttentionCase::v}) {
      AttentionCase one = whole;
      (one.*tensor)[200 * 32] = std::numeric_limits<float>::quiet_NaN();
      for (const auto& kernel : Kernels(1)) {
        SCOPED_TRACE(kernel->name());
        ASSERT_TRUE(kernel->Forward(one.shape, {one.Whole()}).ok());
        for (int i = 0; i < 300 * 2; ++i) {
          const float out = one.out[i * 32];  // The dimension of v that holds the NaN.
          if (i / 2 >= 200 && i / 2 < seen_until) {
            EXPECT_TRUE(std::isnan(out)) << "row " << i / 2 << " window " << window;
          } else {
            EXPECT_NEAR(out, expected.out.value[i * 32], expected.out.bound[i * 32]) << i / 2;
          }
        }
      }
    }
  }
}

TEST(AttentionKernelTest, EmptyBatchAndEmptyTasksAreFine) {
  for (const auto& kernel : Kernels(2)) {
    const AttentionShape shape{.heads = 2, .kv_heads = 1, .head_dim = 64};
    EXPECT_TRUE(kernel->Forward(shape, {}).ok());
    EXPECT_TRUE(kernel->Backward(shape, {}).ok());
    EXPECT_TRUE(kernel->Forward(shape, {VarlenTask{}}).ok());
    EXPECT_TRUE(kernel->Backward(shape, {VarlenTask{}}).ok());
  }
}

struct BadArgument {
  AttentionShape shape;
  VarlenTask task;
  std::string message;
};

TEST(AttentionKernelTest, RefusesWhatItCanNotCompute) {
  auto kernel = MakeCpuAttentionKernel({.threads = 1});
  ASSERT_TRUE(kernel.ok());
  const BadArgument bad[] = {
      {{.heads = 3, .kv_heads = 2}, {}, "kv_heads: 2, must divide heads (3)"},
      {{.heads = 2, .kv_heads = 0}, {}, "kv_heads: 0"},
      {{.heads = 0, .kv_heads = 1}, {}, "heads: 0, must be at least 1"},
      {{.head_dim = 48}, {}, "head_dim: 48, must be 32, 64, 96, 128, 192 or 256"},
      {{.scale = -1.0f}, {}, "scale: -1"},
      {{.mask = {-1}}, {}, "mask.window: -1"},
      {{}, {.q_rows = -1}, "task 0: q_rows: -1"},
      {{}, {.q_position = -4}, "task 0: q_position: -4"},
      {{}, {.q_rows = 1}, "task 0: q is null"},
      {{}, {.kv_rows = 1}, "task 0: k is null"},
  };
  for (const BadArgument& argument : bad) {
    const absl::Status forward = (*kernel)->Forward(argument.shape, {argument.task});
    EXPECT_EQ(forward.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(forward.message()), HasSubstr(argument.message));
    EXPECT_EQ((*kernel)->Backward(argument.shape, {argument.task}), forward);
  }
  EXPECT_EQ(MakeCpuAttentionKernel({.threads = -1}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace rally
