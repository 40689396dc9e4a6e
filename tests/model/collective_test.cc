#include "workers/model/collective.h"

#include <functional>
#include <thread>
#include <vector>

#include <absl/synchronization/barrier.h>
#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include "common/check.h"

namespace rally {
namespace {

// Connects `ranks` ranks, a thread each, and runs `body` on every one.
void OnEveryRank(int32_t ranks, absl::Duration timeout,
                 const std::function<void(Collective&)>& body) {
  auto rendezvous = MakeRendezvous("127.0.0.1");
  RALLY_CHECK(rendezvous.ok(), rendezvous.status().ToString());
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      auto collective = MakeCollective(rank, ranks, (*rendezvous)->endpoint(), timeout);
      ASSERT_TRUE(collective.ok()) << collective.status();
      EXPECT_EQ((*collective)->rank(), rank);
      body(**collective);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Collective, SumsAreTheSameBitsEverywhere) {
  constexpr int32_t kRanks = 3;
  std::vector<std::vector<float>> results(kRanks);
  for (int run = 0; run < 2; ++run) {
    OnEveryRank(kRanks, absl::Seconds(30), [&](Collective& collective) {
      std::vector<float> values(1003);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = 1.0f / static_cast<float>(1 + i + 7 * collective.rank());
      }
      ASSERT_TRUE(collective.AllReduceSum(absl::MakeSpan(values)).ok());
      std::vector<float>& kept = results[collective.rank()];
      if (!kept.empty()) {
        EXPECT_EQ(kept, values);
      }
      kept = values;
      double number = 1.0 + collective.rank();
      ASSERT_TRUE(collective.AllReduceSum(absl::MakeSpan(&number, 1)).ok());
      EXPECT_EQ(number, 6.0);
    });
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_NEAR(results[0][0], 1.0 + 1.0 / 8 + 1.0 / 15, 1e-6);
}

TEST(Collective, OfOneRankNeedsNoNetwork) {
  auto collective = MakeCollective(0, 1, "", absl::Seconds(1));
  ASSERT_TRUE(collective.ok()) << collective.status();
  float value = 2.5f;
  EXPECT_TRUE((*collective)->AllReduceSum(absl::MakeSpan(&value, 1)).ok());
  EXPECT_EQ(value, 2.5f);
  (*collective)->Abort(absl::CancelledError("stop"));
  EXPECT_EQ((*collective)->AllReduceSum(absl::MakeSpan(&value, 1)), absl::CancelledError("stop"));
}

TEST(Collective, AbortWakesABlockedReduction) {
  OnEveryRank(2, absl::Seconds(60), [](Collective& collective) {
    if (collective.rank() == 1) {
      // Never reduces; lives until the other rank has been woken or lost it.
      float value = 0;
      collective.Abort(absl::CancelledError("new epoch"));
      EXPECT_EQ(collective.AllReduceSum(absl::MakeSpan(&value, 1)),
                absl::CancelledError("new epoch"));
      return;
    }
    std::vector<float> values(100000, 1.0f);
    const absl::Status status = collective.AllReduceSum(absl::MakeSpan(values));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(collective.AllReduceSum(absl::MakeSpan(values)), status);
  });
}

// All ranks released at once: each is in a reduction that the others' aborts cannot end.
TEST(Collective, OwnAbortWakesOwnReduction) {
  absl::Barrier* both_aborted = new absl::Barrier(2);
  OnEveryRank(2, absl::Minutes(5), [&](Collective& collective) {
    std::vector<float> values(10, 1.0f);
    ASSERT_TRUE(collective.AllReduceSum(absl::MakeSpan(values)).ok());
    if (collective.rank() == 1) {
      // Stays away from the reduction that rank 0 is in, until rank 0 has been woken.
      if (both_aborted->Block()) delete both_aborted;
      return;
    }
    std::thread aborter([&] { collective.Abort(absl::CancelledError("stop")); });
    EXPECT_EQ(collective.AllReduceSum(absl::MakeSpan(values)), absl::CancelledError("stop"));
    EXPECT_EQ(values[0], 2.0f);  // What a reduction given up has read stays as it was.
    aborter.join();
    if (both_aborted->Block()) delete both_aborted;
  });
}

TEST(Collective, AMissingRankIsATimeout) {
  auto rendezvous = MakeRendezvous("127.0.0.1");
  ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
  const auto collective = MakeCollective(0, 2, (*rendezvous)->endpoint(), absl::Seconds(2));
  EXPECT_EQ(collective.status().code(), absl::StatusCode::kDeadlineExceeded) << collective.status();
}

// The timeout is for coming together. A peer may wait for attention servers as long as it takes.
TEST(Collective, AReductionWaitsForAPeerBeyondTheTimeout) {
  constexpr absl::Duration kTimeout = absl::Seconds(3);
  OnEveryRank(2, kTimeout, [&](Collective& collective) {
    if (collective.rank() == 1) {
      absl::Notification().WaitForNotificationWithTimeout(kTimeout + absl::Seconds(2));
    }
    float value = 1;
    const absl::Status status = collective.AllReduceSum(absl::MakeSpan(&value, 1));
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(value, 2);
  });
}

TEST(Collective, BadEndpointsAreNamed) {
  EXPECT_EQ(MakeCollective(0, 2, "nonsense", absl::Seconds(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeCollective(2, 2, "127.0.0.1:1", absl::Seconds(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace rally
