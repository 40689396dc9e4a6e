// The edges of the attention kernel: rows that see nothing, the smallest and the largest of
// everything, and how far what is not finite reaches.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/attention/attention_case.h"
#include "tests/attention/kernel_check.h"

namespace rally {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

INSTANTIATE_TEST_SUITE_P(Elements, AttentionElementTest, ::testing::ValuesIn(kElements),
                         ElementName);

// Every key lies after every query, or before every query's window.
TEST_P(AttentionElementTest, RowsWithoutKeysAreZero) {
  for (const int64_t q_position : {0, 60}) {
    AttentionCase one(
        {.heads = 1, .kv_heads = 1, .head_dim = 32, .mask = {50}, .element = GetParam()}, 5, 3,
        q_position, /*kv_position=*/5, /*seed=*/3);
    for (const auto& kernel : Kernels(1)) {
      std::fill(one.out.begin(), one.out.end(), 1.0f);
      VarlenTask task = one.Whole();
      ASSERT_TRUE(kernel->Forward(one.shape, {task}).ok());
      EXPECT_THAT(one.out, ::testing::Each(0.0f));
      EXPECT_THAT(one.lse, ::testing::Each(-kInfinity));
      std::fill(one.d_q.begin(), one.d_q.end(), 1.0f);
      std::fill(one.d_k.begin(), one.d_k.end(), 2.0f);
      std::fill(one.d_v.begin(), one.d_v.end(), 2.0f);
      ASSERT_TRUE(kernel->Backward(one.shape, {task}).ok());
      EXPECT_THAT(one.d_q, ::testing::Each(0.0f));
      EXPECT_THAT(one.d_k, ::testing::Each(2.0f));
      EXPECT_THAT(one.d_v, ::testing::Each(2.0f));
    }
  }
}

// The reference leaves rows without keys out, whatever is in them.
TEST_P(AttentionElementTest, RowsPastTheWindowGiveNoGradient) {
  constexpr int64_t kKeys = 20;
  constexpr int64_t kWindow = 50;
  for (const int64_t rows : {80, 200}) {
    AttentionCase one(
        {.heads = 2, .kv_heads = 1, .head_dim = 32, .mask = {kWindow}, .element = GetParam()}, rows,
        kKeys, 0, 0, 4);
    CheckCase(&one, Kernels(2));
    const auto unseen = one.d_out.begin() + (kKeys - 1 + kWindow) * 2 * 32;
    std::fill(unseen, one.d_out.end(), kNan);
    CheckCase(&one, Kernels(2));
  }
}

TEST_P(AttentionElementTest, OneRowAndOneHead) {
  struct Rows {
    int64_t queries;
    int64_t keys;
  };
  for (const Rows rows : {Rows{1, 1}, Rows{1, 150}, Rows{150, 1}}) {
    for (const int32_t head_dim : {32, 64, 96, 128, 192, 256}) {
      for (const int64_t window : {0, 1}) {
        const int64_t q_position = std::max<int64_t>(0, rows.keys - rows.queries);
        AttentionCase one({.heads = 1,
                           .kv_heads = 1,
                           .head_dim = head_dim,
                           .mask = {window},
                           .element = GetParam()},
                          rows.queries, rows.keys, q_position, 0, 6);
        CheckCase(&one, Kernels(1));
      }
    }
  }
}

// Scores in the thousands, where float32 still tells exponents apart.
TEST_P(AttentionElementTest, LargeScoresAgreeWithReference) {
  AttentionCase one({.heads = 2, .kv_heads = 1, .head_dim = 64, .element = GetParam()}, 170, 170, 0,
                    0, 5);
  for (float& x : one.q) x *= 30.0f;
  for (float& x : one.k) x *= 30.0f;
  one.RoundInputs();
  CheckCase(&one, Kernels(1));
}

struct TopKeys {
  int64_t best = 0;
  double score = -kInfinity;
  double second = -kInfinity;
  double error = 0.0;  // Of any of the row's scores in float32.
};

// Of a row of a case with one head and a causal mask.
TopKeys FindTopKeys(const AttentionCase& one, int64_t row) {
  const int64_t head_dim = one.shape.head_dim;
  TopKeys top;
  for (int64_t key = 0; key <= row; ++key) {
    double score = 0.0;
    double magnitude = 0.0;
    for (int64_t d = 0; d < head_dim; ++d) {
      const double product = double{one.q[row * head_dim + d]} * one.k[key * head_dim + d];
      score += product / std::sqrt(head_dim);
      magnitude += std::abs(product) / std::sqrt(head_dim);
    }
    top.error = std::max(top.error, (head_dim + 8) * std::ldexp(magnitude, -24));
    top.second = std::max(top.second, std::min(score, top.score));
    if (score > top.score) top.best = key;
    top.score = std::max(top.score, score);
  }
  return top;
}

// Of a case with one head and a causal mask: no probability of the backward is above 1, so that no
// element of d_v has a magnitude above the sum of d_out's over the rows that see its key.
void ExpectValueGradientsWithinReach(const AttentionCase& one) {
  const int64_t head_dim = one.shape.head_dim;
  const double rounding = 1.0 + std::ldexp(static_cast<double>(one.q_rows), -24);
  for (int64_t d = 0; d < head_dim; ++d) {
    double reach = 0.0;
    for (int64_t key = one.kv_rows - 1; key >= 0; --key) {
      reach += std::abs(one.d_out[key * head_dim + d]);
      ASSERT_LE(std::abs(one.d_v[key * head_dim + d]), reach * rounding) << "key " << key;
    }
  }
}

// Scores of 1e8: a key that is ahead by more than scores err, and by what makes exp of it 0, is the
// only one, and its probability 1 exactly. The backward's scores may err the other way, upwards of
// lse.
TEST_P(AttentionElementTest, HugeScoresSaturate) {
  constexpr int64_t kRows = 170;
  AttentionCase one({.heads = 1, .kv_heads = 1, .head_dim = 64, .element = GetParam()}, kRows,
                    kRows, 0, 0, 5);
  for (float& x : one.q) x *= 1e4f;
  for (float& x : one.k) x *= 1e4f;
  one.RoundInputs();
  for (const auto& kernel : Kernels(1)) {
    SCOPED_TRACE(kernel->name());
    ASSERT_TRUE(kernel->Forward(one.shape, {one.Whole()}).ok());
    int64_t clear = 0;
    for (int64_t row = 0; row < kRows; ++row) {
      const TopKeys top = FindTopKeys(one, row);
      if (top.score - top.second < 2 * top.error + 200.0) continue;
      ++clear;
      EXPECT_NEAR(one.lse[row], top.score, top.error + std::ldexp(std::abs(top.score), -22));
      for (int d = 0; d < 64; ++d) {
        ASSERT_EQ(one.out[row * 64 + d], one.v[top.best * 64 + d]) << "row " << row;
      }
    }
    EXPECT_GT(clear, kRows * 9 / 10);
    one.BackwardTasks();  // Clears d_k and d_v.
    ASSERT_TRUE(kernel->Backward(one.shape, {one.Whole()}).ok());
    ExpectValueGradientsWithinReach(one);
  }
}

// Keys that no row reaches stand beside some that all do: of a unit, of a vector, of a tile.
TEST_P(AttentionElementTest, VeryNegativeScoresDoNotOverflow) {
  for (const int64_t keys : {33, 34, 145}) {
    AttentionCase one(
        {.heads = 2, .kv_heads = 1, .head_dim = 32, .scale = 1.0f, .element = GetParam()}, 41, keys,
        /*q_position=*/keys - 30, /*kv_position=*/0, /*seed=*/9);
    for (float& x : one.q) x = std::abs(x);
    for (float& x : one.k) x = -8.0f * std::abs(x);
    CheckCase(&one, Kernels(1));
  }
}

// A case in which one number of one row of one tensor is not finite, beside the same case without.
class Poisoned {
 public:
  static constexpr int64_t kRows = 190;
  static constexpr int64_t kHeads = 2;
  static constexpr int64_t kHeadDim = 32;

  Poisoned(int64_t window, AttentionElement element)
      : clean_({.heads = kHeads,
                .kv_heads = 1,
                .head_dim = kHeadDim,
                .mask = {window},
                .element = element},
               kRows, kRows, 0, 0, 5),
        one_(clean_) {
    for (const double rounding : {0.0, kBfloat16Rounding}) {
      expected_.push_back(ReferenceOf(&clean_, rounding));
    }
  }

  // In the last head of row `row` of q, k, v or d_out.
  void Check(std::vector<float> AttentionCase::*tensor, int64_t row, float value,
             const KernelList& kernels) {
    one_ = clean_;
    const bool of_keys = tensor == &AttentionCase::k || tensor == &AttentionCase::v;
    const int64_t heads = of_keys ? 1 : kHeads;
    (one_.*tensor)[((row + 1) * heads - 1) * kHeadDim + 5] = value;
    key_ = of_keys ? row : -1;
    query_ = of_keys ? -1 : row * kHeads + kHeads - 1;
    const ReferenceOutput reference = ReferenceForward(one_.shape, one_.WholeOfFloats());
    for (const auto& kernel : kernels) {
      SCOPED_TRACE(kernel->name());
      const bool rounds = Rounding(*kernel, one_.shape.element) != 0.0;
      CheckForward(kernel.get(), expected_[rounds ? 1 : 0].output, reference);
      one_.SetRowStatistics(reference);
      CheckBackward(kernel.get(), expected_[rounds ? 1 : 0].gradient);
    }
  }

 private:
  bool Sees(int64_t row, int64_t key) const { return ReferenceAllowed(one_.shape.mask, row, key); }
  bool Touched(int64_t query) const {
    return query == query_ || (key_ >= 0 && Sees(query / kHeads, key_));
  }

  // Of one row.
  static void ExpectClean(const std::vector<float>& actual, const ReferenceTensor& expected,
                          int64_t row, int64_t size, const char* what) {
    for (int64_t i = row * size; i < (row + 1) * size; ++i) {
      if (std::abs(actual[i] - expected.value[i]) <= expected.bound[i]) continue;
      FAIL() << what << " of row " << row << " is " << actual[i] << ", not " << expected.value[i];
    }
  }

  void CheckForward(AttentionKernel* kernel, const ReferenceOutput& expected,
                    const ReferenceOutput& reference) {
    ASSERT_TRUE(kernel->Forward(one_.shape, {one_.Whole()}).ok());
    for (int64_t query = 0; query < kRows * kHeads; ++query) {
      if (!Touched(query)) {
        ExpectClean(one_.out, expected.out, query, kHeadDim, "out");
        ExpectClean(one_.lse, expected.lse, query, 1, "lse");
        continue;
      }
      // Infinity in a key may also make a score of minus infinity, so a key like any other.
      ASSERT_EQ(std::isfinite(one_.lse[query]), std::isfinite(reference.lse.value[query]));
      for (int64_t i = query * kHeadDim; i < (query + 1) * kHeadDim; ++i) {
        ASSERT_EQ(std::isfinite(one_.out[i]), std::isfinite(reference.out.value[i])) << query;
      }
    }
  }

  void CheckBackward(AttentionKernel* kernel, const ReferenceGradient& expected) {
    one_.BackwardTasks();  // Clears d_k and d_v.
    ASSERT_TRUE(kernel->Backward(one_.shape, {one_.Whole()}).ok());
    for (int64_t query = 0; query < kRows * kHeads; ++query) {
      if (!Touched(query)) {
        ExpectClean(one_.d_q, expected.d_q, query, kHeadDim, "d_q");
      } else if (Spreads(query)) {
        ASSERT_FALSE(std::isfinite(one_.d_q[query * kHeadDim])) << query;
      }
    }
    for (int64_t key = 0; key < kRows; ++key) {
      bool reached = false;
      bool touched = key == key_;
      for (int64_t query = key * kHeads; query < kRows * kHeads; ++query) {
        if (!Sees(query / kHeads, key)) continue;
        touched = touched || Touched(query);
        reached = reached || Spreads(query);
      }
      if (!touched) {
        ExpectClean(one_.d_k, expected.d_k, key, kHeadDim, "d_k");
        ExpectClean(one_.d_v, expected.d_v, key, kHeadDim, "d_v");
      } else if (reached) {
        ASSERT_FALSE(std::isfinite(one_.d_k[key * kHeadDim])) << key;
        ASSERT_FALSE(std::isfinite(one_.d_v[key * kHeadDim])) << key;
      }
    }
  }

  // A row without a key does not, and one may have none but a key of minus infinity.
  bool Spreads(int64_t query) const {
    const float lse = one_.lse[query];
    return lse != -kInfinity && !(std::isfinite(lse) && std::isfinite(one_.delta[query]));
  }

  AttentionCase clean_;
  AttentionCase one_;
  std::vector<Expected> expected_;  // Of the clean case, by rounding.
  int64_t key_ = -1;                // The row and head that is not finite; -1 for none.
  int64_t query_ = -1;
};

TEST_P(AttentionElementTest, WhatIsNotFiniteReachesWhatSeesItAlone) {
  using Case = AttentionCase;
  const KernelList kernels = Kernels(1);
  for (const int64_t window : {0, 1, 50, 51}) {
    Poisoned poisoned(window, GetParam());
    for (const auto tensor : {&Case::k, &Case::v, &Case::q, &Case::d_out}) {
      for (const float value : {kNan, kInfinity}) {
        for (const int64_t row : {100, 145, 189}) {
          SCOPED_TRACE(::testing::Message()
                       << "window " << window << ", row " << row << ", " << value << " in "
                       << (tensor == &Case::k   ? "k"
                           : tensor == &Case::v ? "v"
                           : tensor == &Case::q ? "q"
                                                : "d_out"));
          poisoned.Check(tensor, row, value, kernels);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rally
