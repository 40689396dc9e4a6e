#include "services/cli/interruption.h"

#include <thread>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(InterruptionTest, TheFirstReasonStays) {
  Interruption interruption;
  EXPECT_TRUE(interruption.reason().ok());
  EXPECT_FALSE(interruption.WaitUntil(absl::Now()));
  interruption.Interrupt(absl::CancelledError("first"));
  interruption.Interrupt(absl::InternalError("second"));
  EXPECT_EQ(interruption.reason(), absl::CancelledError("first"));
}

TEST(InterruptionTest, WakesAWaiter) {
  Interruption interruption;
  std::thread waker([&] { interruption.Interrupt(absl::CancelledError("now")); });
  EXPECT_TRUE(interruption.WaitUntil(absl::Now() + absl::Seconds(30)));
  waker.join();
}

TEST(InterruptionTest, AScopeIsWokenOnceWhileItLives) {
  Interruption interruption;
  int before = 0;
  int during = 0;
  int after = 0;
  {
    const Interruption::Scope ended(&interruption, [&] { ++before; });
  }
  const Interruption::Scope alive(&interruption, [&] { ++during; });
  interruption.Interrupt(absl::CancelledError("now"));
  interruption.Interrupt(absl::CancelledError("again"));
  const Interruption::Scope late(&interruption, [&] { ++after; });
  EXPECT_EQ(before, 0);
  EXPECT_EQ(during, 1);
  EXPECT_EQ(after, 1);
}

}  // namespace
}  // namespace rally
