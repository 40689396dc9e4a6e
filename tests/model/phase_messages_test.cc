#include "workers/model/phase_messages.h"

#include <omp.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr RowSizes kSizes{2, 4, 2};  // N = 2, M = 1, H = 2.

HomeRows Rows(int64_t begin, int64_t end, int32_t nano_batch, int64_t row) {
  return {0, begin, end, nano_batch, row};
}

template <typename T = float>
std::vector<T> Counting(int64_t count, T first) {
  std::vector<T> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

// Values of type T at the front of `bytes`, which loses them.
template <typename T>
std::vector<T> Take(size_t count, absl::Span<const std::byte>* bytes) {
  std::vector<T> values(count);
  std::memcpy(values.data(), bytes->data(), count * sizeof(T));
  bytes->remove_prefix(count * sizeof(T));
  return values;
}

// Two query rows and two key rows of kSizes, in an order that is not the home's. `Element` is any
// type of the element's size: packing does not read it.
template <typename Element>
void CheckRequests(AttentionElement element) {
  RowSizes sizes = kSizes;
  sizes.element = element;
  Route route;
  route.queries = {Rows(5, 6, 1, 2), Rows(3, 4, 1, 0)};
  route.keys = {Rows(0, 1, 0, 1), Rows(5, 6, 1, 2)};
  route.query_rows = 2;
  route.kv_rows = 2;
  const auto q = Counting<Element>(12, 0), d_out = Counting<Element>(12, 500);
  const auto k0 = Counting<Element>(4, 100), k1 = Counting<Element>(6, 200);
  const auto v0 = Counting<Element>(4, 300), v1 = Counting<Element>(6, 400);
  const auto lse = Counting(6, 600.0f), delta = Counting(6, 700.0f);
  HomeInputs inputs{.q_TNH = q.data(),
                    .k_TMH = {k0.data(), k1.data()},
                    .v_TMH = {v0.data(), v1.data()},
                    .d_out_TNH = d_out.data(),
                    .lse_TN = lse.data(),
                    .delta_TN = delta.data()};
  for (const bool backward : {false, true}) {
    std::vector<std::byte> message(LayOutRequest(route, sizes, backward).size);
    ASSERT_EQ(message.size(),
              backward ? 24 * sizeof(Element) + 8 * sizeof(float) : 16 * sizeof(Element));
    PackRequest(route, sizes, backward, inputs, absl::MakeSpan(message));
    absl::Span<const std::byte> rest = message;
    EXPECT_EQ(Take<Element>(16, &rest), (std::vector<Element>{8, 9, 10, 11, 0, 1, 2, 3, 102, 103,
                                                              204, 205, 302, 303, 404, 405}));
    if (!backward) continue;
    EXPECT_EQ(Take<Element>(8, &rest),
              (std::vector<Element>{508, 509, 510, 511, 500, 501, 502, 503}));
    EXPECT_EQ(Take<float>(8, &rest), (std::vector<float>{604, 605, 600, 601, 704, 705, 700, 701}));
  }
}

TEST(PhaseMessages, RequestsArePackedInTheRoutesOrder) {
  CheckRequests<float>(AttentionElement::kFloat32);
  CheckRequests<uint16_t>(AttentionElement::kBfloat16);
}

// One row and head attended in parts, as tasks in a given order of the plan.
struct PartCase {
  float value;
  float lse;
};

std::vector<float> MergeOneRow(const std::vector<PartCase>& parts, float* lse_out) {
  constexpr RowSizes kOne{1, 2, 2};
  std::vector<Route> routes(parts.size());
  std::vector<std::vector<float>> messages;
  for (size_t i = 0; i < parts.size(); ++i) {
    // The routes' order is the reverse of the tasks'.
    routes[i].queries = {Rows(0, 1, 0, 0)};
    routes[i].tasks = {static_cast<int32_t>(parts.size() - i)};
    routes[i].query_rows = 1;
    messages.push_back({parts[i].value, -parts[i].value, parts[i].lse});
  }
  std::vector<const Route*> pointers;
  std::vector<absl::Span<const float>> replies;
  for (size_t i = 0; i < parts.size(); ++i) {
    pointers.push_back(&routes[i]);
    replies.push_back(messages[i]);
  }
  std::vector<float> out(2, 99.0f);
  MergeReplies(pointers, kOne, replies, 1, out.data(), lse_out);
  return out;
}

TEST(PhaseMessages, PartsAreWeightedByTheirLogSumExp) {
  float lse = 0;
  const auto out =
      MergeOneRow({{1.0f, std::log(3.0f)}, {5.0f, 0.0f}, {2.0f, std::log(2.0f)}}, &lse);
  EXPECT_NEAR(out[0], (3 * 1.0 + 5.0 + 2 * 2.0) / 6, 1e-6);
  EXPECT_NEAR(out[1], -out[0], 1e-6);
  EXPECT_NEAR(lse, std::log(6.0), 1e-6);
}

TEST(PhaseMessages, HugeScoresDoNotOverflow) {
  float lse = 0;
  const auto out = MergeOneRow({{1.0f, 500.0f}, {3.0f, 500.0f}, {7.0f, -500.0f}}, &lse);
  EXPECT_NEAR(out[0], 2.0, 1e-6);
  EXPECT_NEAR(lse, 500 + std::log(2.0), 1e-4);
}

TEST(PhaseMessages, PartsWithoutAllowedKeysDoNotCount) {
  float lse = 0;
  EXPECT_EQ(MergeOneRow({{0.0f, -kInfinity}, {4.0f, 1.5f}, {0.0f, -kInfinity}}, &lse),
            (std::vector<float>{4.0f, -4.0f}));
  EXPECT_EQ(lse, 1.5f);
  EXPECT_EQ(MergeOneRow({{0.0f, -kInfinity}}, &lse), (std::vector<float>{0.0f, 0.0f}));
  EXPECT_EQ(lse, -kInfinity);
}

TEST(PhaseMessages, ASingleSourceIsCopiedExactly) {
  float lse = 0;
  EXPECT_EQ(MergeOneRow({{0.1f, 0.3f}}, &lse), (std::vector<float>{0.1f, -0.1f}));
  EXPECT_EQ(lse, 0.3f);
}

TEST(PhaseMessages, GradientsAddUpWhereRowsAreShared) {
  Route route;
  route.queries = {Rows(0, 1, 0, 1), Rows(0, 1, 0, 1)};
  route.keys = {Rows(0, 2, 0, 0)};
  route.query_rows = 2;
  route.kv_rows = 2;
  const auto reply = Counting(LayOutReply(route, kSizes, true).size, 1.0f);
  std::vector<float> d_q(8, 0.0f), d_k(4, 0.5f), d_v(4, 0.0f);
  HomeGradients gradients;
  gradients.d_q_TNH = d_q.data();
  gradients.d_k_TMH[0] = d_k.data();
  gradients.d_v_TMH[0] = d_v.data();
  AddGradients(route, kSizes, reply, gradients);
  EXPECT_EQ(d_q, (std::vector<float>{0, 0, 0, 0, 6, 8, 10, 12}));
  EXPECT_EQ(d_k, (std::vector<float>{9.5f, 10.5f, 11.5f, 12.5f}));
  EXPECT_EQ(d_v, (std::vector<float>{13, 14, 15, 16}));
}

// All that a home does with a route of two tasks over the same long rows, one result after another.
std::vector<float> ExchangeOfLongRows(int threads) {
  constexpr RowSizes kWide{4, 64, 32};
  constexpr int64_t kRows = 3000;
  omp_set_num_threads(threads);
  Route route;
  route.tasks = {0, 1};
  route.queries = {Rows(0, kRows, 0, 0), Rows(0, kRows, 0, 0)};
  route.keys = {Rows(0, kRows, 0, 0)};
  route.query_rows = 2 * kRows;
  route.kv_rows = kRows;
  const auto q = Counting(kRows * kWide.query, 0.5f), k = Counting(kRows * kWide.keys, 1.5f);
  std::vector<float> result(LayOutRequest(route, kWide, false).size / sizeof(float));
  PackRequest(
      route, kWide, false, {.q_TNH = q.data(), .k_TMH = {k.data()}, .v_TMH = {k.data()}},
      absl::MakeSpan(reinterpret_cast<std::byte*>(result.data()), result.size() * sizeof(float)));
  const auto reply = Counting(LayOutReply(route, kWide, true).size, 1.0f);
  std::vector<float> out(kRows * kWide.query, 9.0f), lse(kRows * kWide.heads, 9.0f);
  MergeReplies({&route}, kWide, {absl::MakeConstSpan(reply)}, kRows, out.data(), lse.data());
  AddGradients(route, kWide, reply,
               {.d_q_TNH = out.data(), .d_k_TMH = {result.data()}, .d_v_TMH = {result.data()}});
  result.insert(result.end(), out.begin(), out.end());
  result.insert(result.end(), lse.begin(), lse.end());
  return result;
}

TEST(PhaseMessages, HaveTheSameBitsForAnyNumberOfThreads) {
  const int threads = omp_get_max_threads();
  const std::vector<float> one = ExchangeOfLongRows(1);
  for (const int more : {2, 3, 7}) EXPECT_EQ(ExchangeOfLongRows(more), one) << more;
  omp_set_num_threads(threads);
}

}  // namespace
}  // namespace rally
