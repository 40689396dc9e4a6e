#include "workers/attention/attention_kernel.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/attention/attention_case.h"
#include "tests/attention/kernel_check.h"

namespace rally {
namespace {

using ::testing::HasSubstr;

class AttentionKernelRandomTest
    : public ::testing::TestWithParam<std::tuple<AttentionElement, int>> {};

// Every kind of case occurs among the first few; sanitizers and emulation make each much slower.
// Long ones have several blocks of keys.
#ifdef RALLY_FEW_CASES
constexpr int kCases = 15;
constexpr int kRepeats = 1;
constexpr int32_t kLongHeadDims[] = {64, 192};
constexpr int64_t kLongWindows[] = {333};
#else
constexpr int kCases = 100;
constexpr int kRepeats = 5;
constexpr int32_t kLongHeadDims[] = {32, 64, 96, 128, 192, 256};
constexpr int64_t kLongWindows[] = {0, 333};
#endif

// 8 x kCases cases of each element, each on every instruction set.
TEST_P(AttentionKernelRandomTest, AgreesWithReference) {
  const auto kernels = Kernels(2);
  const auto [element, seed] = GetParam();
  for (int i = 0; i < kCases && !HasFailure(); ++i) {
    AttentionCase one = RandomAttentionCase(static_cast<uint64_t>(seed * kCases + i), element);
    CheckCase(&one, kernels);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AttentionKernelRandomTest,
                         ::testing::Combine(::testing::ValuesIn(kElements),
                                            ::testing::Range(0, 8)));

INSTANTIATE_TEST_SUITE_P(Elements, AttentionElementTest, ::testing::ValuesIn(kElements),
                         ElementName);

TEST_P(AttentionElementTest, AgreesWithReferenceOverManyBlocks) {
  for (const int32_t head_dim : kLongHeadDims) {
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
  for (const CpuInstructionSet set : AvailableCpuInstructionSets()) {
    auto single = MakeCpuAttentionKernel({.threads = 1, .instruction_set = set});
    auto several = MakeCpuAttentionKernel({.threads = 5, .instruction_set = set});
    ASSERT_TRUE(single.ok() && several.ok());
    for (const int64_t window : kLongWindows) {
      AttentionCase expected(
          {.heads = 4, .kv_heads = 2, .head_dim = 64, .mask = {window}, .element = GetParam()}, 700,
          1000, 300, 0, 11);
      // Two tasks share each key range.
      expected.Cut({0, 301, 700}, {0, 517, 1000});
      AttentionCase one = expected;
      Compute(&expected, single->get());
      for (int repeat = 0; repeat < kRepeats; ++repeat) {
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

// Tasks of one batch whose rows of d_k and d_v overlap in part, lie within others' and by
// themselves.
class OverlappingTasks {
 public:
  explicit OverlappingTasks(AttentionElement element)
      : one_({.heads = 2, .kv_heads = 1, .head_dim = 64, .element = element}, 600, 700,
             /*q_position=*/700, /*kv_position=*/0, /*seed=*/12) {}

  // The kernel's d_k and d_v of all tasks, one after the other.
  std::vector<float> Compute(AttentionKernel* kernel) {
    std::vector<VarlenTask> tasks = Cut(one_.Whole(), ElementBytes(one_.shape.element));
    std::vector<std::vector<float>> d_q(tasks.size(), one_.d_q);
    for (size_t t = 0; t < tasks.size(); ++t) tasks[t].d_q = d_q[t].data();
    one_.BackwardTasks();  // Clears d_k and d_v.
    EXPECT_TRUE(kernel->Backward(one_.shape, tasks).ok());
    std::vector<float> computed = one_.d_k;
    computed.insert(computed.end(), one_.d_v.begin(), one_.d_v.end());
    return computed;
  }

  // What Compute must give. Sets the rows' statistics to those over all keys.
  ReferenceTensor Reference(double rounding) {
    one_.SetRowStatistics(ReferenceForward(one_.shape, one_.WholeOfFloats(), rounding));
    const size_t size = one_.d_k.size();
    ReferenceTensor sum(2 * size);
    for (const VarlenTask& task : Cut(one_.WholeOfFloats(), sizeof(float))) {
      const ReferenceGradient gradient = ReferenceBackward(one_.shape, task, rounding);
      const auto at = static_cast<size_t>(task.d_k - one_.d_k.data());
      Add(gradient.d_k, at, &sum);
      Add(gradient.d_v, size + at, &sum);
    }
    return sum;
  }

 private:
  // The first task takes longest: one that does not wait for its turn overtakes it.
  struct Part {
    int64_t q_rows;
    int64_t begin;
    int64_t end;
  };
  static constexpr Part kParts[] = {{600, 0, 400}, {100, 144, 600}, {20, 288, 320}, {50, 600, 700}};

  std::vector<VarlenTask> Cut(const VarlenTask& whole, int64_t element_bytes) const {
    std::vector<VarlenTask> tasks;
    for (const Part& part : kParts) {
      const int64_t at = part.begin * one_.shape.head_dim;
      VarlenTask task = whole;
      task.q_rows = part.q_rows;
      task.kv_rows = part.end - part.begin;
      task.kv_position += part.begin;
      task.k = static_cast<const char*>(whole.k) + at * element_bytes;
      task.v = static_cast<const char*>(whole.v) + at * element_bytes;
      task.d_k += at;
      task.d_v += at;
      tasks.push_back(task);
    }
    return tasks;
  }

  static void Add(const ReferenceTensor& part, size_t at, ReferenceTensor* sum) {
    for (size_t i = 0; i < part.value.size(); ++i) {
      sum->value[at + i] += part.value[i];
      sum->bound[at + i] += part.bound[i];
    }
  }

  AttentionCase one_;
};

TEST_P(AttentionElementTest, TasksMayShareSomeOfTheirKeys) {
  OverlappingTasks tasks(GetParam());
  for (const CpuInstructionSet set : AvailableCpuInstructionSets()) {
    auto single = MakeCpuAttentionKernel({.threads = 1, .instruction_set = set});
    auto several = MakeCpuAttentionKernel({.threads = 5, .instruction_set = set});
    ASSERT_TRUE(single.ok() && several.ok());
    SCOPED_TRACE((*single)->name());
    const ReferenceTensor reference = tasks.Reference(Rounding(**single, GetParam()));
    const std::vector<float> expected = tasks.Compute(single->get());
    EXPECT_LE(WorstShare(expected, reference), 1.0);
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      EXPECT_TRUE(SameBits(tasks.Compute(several->get()), expected));
    }
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
      {{.element = static_cast<AttentionElement>(7)},
       {},
       "element: 7, must be 0 (float32) or 1 (bfloat16)"},
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

TEST(AttentionKernelTest, IsOfTheInstructionSetAskedForOrRefuses) {
  const std::vector<CpuInstructionSet> available = AvailableCpuInstructionSets();
  for (const char* name : {"portable", "avx2", "avx512", "avx512_bf16"}) {
    const std::optional<CpuInstructionSet> set = FindCpuInstructionSet(name);
    ASSERT_TRUE(set.has_value()) << name;
    const auto kernel = MakeCpuAttentionKernel({.threads = 1, .instruction_set = *set});
    if (std::count(available.begin(), available.end(), *set) > 0) {
      ASSERT_TRUE(kernel.ok()) << kernel.status();
      EXPECT_EQ((*kernel)->name(), name);
    } else {
      EXPECT_EQ(kernel.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(kernel.status().message()), HasSubstr(name));
    }
  }
  const auto best = MakeCpuAttentionKernel({.threads = 1});
  EXPECT_EQ((*best)->name(), CpuInstructionSetName(BestCpuInstructionSet()));
  EXPECT_FALSE(FindCpuInstructionSet("sse").has_value());
}

}  // namespace
}  // namespace rally
