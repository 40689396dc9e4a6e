#include "workers/attention/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/attention/attention_case.h"
#include "tests/attention/reference_attention.h"

namespace rally {
namespace {

using ::testing::HasSubstr;

constexpr CpuInstructionSet kInstructionSets[] = {
    CpuInstructionSet::kPortable, CpuInstructionSet::kAvx2, CpuInstructionSet::kAvx512,
    CpuInstructionSet::kAvx512Bf16};
constexpr AttentionElement kElements[] = {AttentionElement::kFloat32, AttentionElement::kBfloat16};

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

// Of the terms that a kernel sums by products.
double Rounding(const AttentionKernel& kernel, AttentionElement element) {
  const bool rounds = element == AttentionElement::kBfloat16 && kernel.name() == "avx512_bf16";
  return rounds ? kBfloat16Rounding : 0.0;
}

// The reference of a whole case, for kernels that round alike.
struct Expected {
  double rounding = 0.0;
  ReferenceOutput output;
  ReferenceGradient gradient;
};

// Leaves the reference's statistics of rows in the case.
Expected ReferenceOf(AttentionCase* one, double rounding) {
  Expected expected;
  expected.rounding = rounding;
  expected.output = ReferenceForward(one->shape, one->WholeOfFloats(), rounding);
  one->SetRowStatistics(expected.output);
  expected.gradient = ReferenceBackward(one->shape, one->WholeOfFloats(), rounding);
  return expected;
}

// On each kernel: computes the case cut into tasks, merges the parts and compares with the
// reference of the whole.
void CheckCase(AttentionCase* one, const std::vector<std::unique_ptr<AttentionKernel>>& kernels) {
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

class AttentionKernelRandomTest
    : public ::testing::TestWithParam<std::tuple<AttentionElement, int>> {};

// Every kind of case occurs among the first few; a sanitizer makes each many times slower.
#ifdef RALLY_SANITIZE
constexpr int kCases = 15;
#else
constexpr int kCases = 300;
#endif

// 8 x kCases cases of each element, each on every instruction set.
TEST_P(AttentionKernelRandomTest, AgreesWithReference) {
  const auto kernels = Kernels(2);
  ASSERT_FALSE(kernels.empty());
  const auto [element, seed] = GetParam();
  for (int i = 0; i < kCases && !HasFailure(); ++i) {
    AttentionCase one = RandomAttentionCase(static_cast<uint64_t>(seed * kCases + i), element);
    CheckCase(&one, kernels);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AttentionKernelRandomTest,
                         ::testing::Combine(::testing::ValuesIn(kElements),
                                            ::testing::Range(0, 8)));

class AttentionElementTest : public ::testing::TestWithParam<AttentionElement> {};
INSTANTIATE_TEST_SUITE_P(Elements, AttentionElementTest, ::testing::ValuesIn(kElements),
                         [](const auto& info) {
                           return info.param == AttentionElement::kFloat32 ? "Float32" : "Bfloat16";
                         });

TEST_P(AttentionElementTest, AgreesWithReferenceOverManyBlocks) {
  for (const int32_t head_dim : {32, 64, 96, 128, 192, 256}) {
    for (const int64_t window : {0, 200}) {
      AttentionCase one({.heads = 2,
                         .kv_heads = 1,
                         .head_dim = head_dim,
                         .mask = {window},
                         .element = GetParam()},
                        309, 401, /*q_position=*/92, /*kv_position=*/0, /*seed=*/7);
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

TEST_P(AttentionElementTest, ThreadsDoNotChangeABit) {
  for (const CpuInstructionSet set : kInstructionSets) {
    auto single = MakeCpuAttentionKernel({.threads = 1, .instruction_set = set});
    auto several = MakeCpuAttentionKernel({.threads = 5, .instruction_set = set});
    if (!single.ok()) continue;
    for (const int64_t window : {0, 333}) {
      AttentionCase expected(
          {.heads = 4, .kv_heads = 2, .head_dim = 64, .mask = {window}, .element = GetParam()}, 700,
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

TEST_P(AttentionElementTest, RowsWithoutKeysAreZero) {
  const float infinity = std::numeric_limits<float>::infinity();
  // Every key lies after every query.
  AttentionCase one({.heads = 1, .kv_heads = 1, .head_dim = 32, .element = GetParam()}, 5, 3, 0, 5,
                    3);
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

TEST_P(AttentionElementTest, LargeScoresNeitherOverflowNorMix) {
  AttentionCase one({.heads = 1, .kv_heads = 1, .head_dim = 64, .element = GetParam()}, 70, 70, 0,
                    0, 5);
  one.Cut({0, 70}, {0, 70});
  for (float& x : one.q) x *= 1e4f;
  for (float& x : one.k) x *= 1e4f;
  one.RoundInputs();
  for (const auto& kernel : Kernels(1)) {
    ASSERT_TRUE(kernel->Forward(one.shape, {one.Whole()}).ok());
    for (const float x : one.out) ASSERT_TRUE(std::isfinite(x)) << kernel->name();
    for (const float x : one.lse) ASSERT_TRUE(std::isfinite(x)) << kernel->name();
    // The first row sees one key alone.
    for (int d = 0; d < 64; ++d) EXPECT_EQ(one.out[d], one.v[d]) << kernel->name();
  }
}

// Keys that no row reaches stand beside some that all do: of a unit, of a vector, of a tile.
TEST_P(AttentionElementTest, VeryNegativeScoresDoNotOverflow) {
  for (const int64_t keys : {33, 34, 145}) {
    AttentionCase one(
        {.heads = 2, .kv_heads = 1, .head_dim = 32, .scale = 1.0f, .element = GetParam()}, 41, keys,
        /*q_position=*/keys - 30, /*kv_position=*/0, /*seed=*/9);
    one.Cut({0, 41}, {0, keys});
    for (float& x : one.q) x = std::abs(x);
    for (float& x : one.k) x = -8.0f * std::abs(x);
    CheckCase(&one, Kernels(1));
  }
}

// Rows from `key` on see it; with a window, so many rows.
void CheckNanReaches(int64_t window, int64_t key, AttentionElement element) {
  const int64_t seen_until = window == 0 ? 301 : std::min<int64_t>(key + window, 301);
  AttentionCase whole(
      {.heads = 2, .kv_heads = 1, .head_dim = 32, .mask = {window}, .element = element}, 301, 301,
      0, 0, 5);
  whole.Cut({0, 301}, {0, 301});
  for (const auto& kernel : Kernels(1)) {
    SCOPED_TRACE(kernel->name());
    const ReferenceOutput expected =
        ReferenceForward(whole.shape, whole.WholeOfFloats(), Rounding(*kernel, element));
    for (std::vector<float> AttentionCase::*tensor : {&AttentionCase::k, &AttentionCase::v}) {
      AttentionCase one = whole;
      (one.*tensor)[static_cast<size_t>(key) * 32] = std::numeric_limits<float>::quiet_NaN();
      ASSERT_TRUE(kernel->Forward(one.shape, {one.Whole()}).ok());
      for (int i = 0; i < 301 * 2; ++i) {
        const float out = one.out[i * 32];  // The dimension of v that holds the NaN.
        if (i / 2 >= key && i / 2 < seen_until) {
          EXPECT_TRUE(std::isnan(out)) << "row " << i / 2 << " key " << key << " of " << window;
        } else {
          EXPECT_NEAR(out, expected.out.value[i * 32], expected.out.bound[i * 32]) << i / 2;
        }
      }
    }
  }
}

TEST_P(AttentionElementTest, NanReachesTheRowsThatSeeItAlone) {
  for (const int64_t window : {0, 1, 50, 51}) {
    for (const int64_t key : {200, 201, 300}) CheckNanReaches(window, key, GetParam());
  }
}

TEST_P(AttentionElementTest, EmptyBatchAndEmptyTasksAreFine) {
  for (const auto& kernel : Kernels(2)) {
    const AttentionShape shape{.heads = 2, .kv_heads = 1, .head_dim = 64, .element = GetParam()};
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
