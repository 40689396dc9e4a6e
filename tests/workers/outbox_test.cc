#include "workers/outbox.h"

#include <string>
#include <thread>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

v1::MemberMessage Done(int64_t round) {
  v1::MemberMessage message;
  message.mutable_round_done()->set_round(round);
  return message;
}

v1::JobEpoch Epoch(const std::string& job) {
  v1::JobEpoch epoch;
  epoch.set_job_id(job);
  epoch.set_epoch(1);
  return epoch;
}

void Line(Outbox* outbox, LogSeverity severity, const std::string& text) {
  outbox->PutLine(absl::Now(), severity, text);
}

TEST(OutboxTest, KeepsTheOrderAndBatchesNeighbouringLines) {
  Outbox outbox;
  outbox.SetJob(Epoch("a"));
  Line(&outbox, LogSeverity::kInfo, "one");
  Line(&outbox, LogSeverity::kWarning, "two");
  ASSERT_TRUE(outbox.Put(Done(7)));
  Line(&outbox, LogSeverity::kInfo, "three");
  const auto lines = outbox.Take(absl::Now());
  ASSERT_TRUE(lines.has_value());
  ASSERT_EQ(lines->logs().entries_size(), 2);
  EXPECT_EQ(lines->logs().job().job_id(), "a");
  EXPECT_EQ(lines->logs().entries(1).text(), "two");
  EXPECT_EQ(lines->logs().entries(1).severity(), "warning");
  EXPECT_EQ(outbox.Take(absl::Now())->round_done().round(), 7);
  EXPECT_EQ(outbox.Take(absl::Now())->logs().entries_size(), 1);
  EXPECT_FALSE(outbox.Take(absl::Now()).has_value());
}

TEST(OutboxTest, LinesBelongToTheJobThatIsHeld) {
  Outbox outbox;
  Line(&outbox, LogSeverity::kInfo, "nobody's");
  outbox.SetJob(Epoch("a"));
  Line(&outbox, LogSeverity::kInfo, "a's");
  outbox.SetJob(Epoch("b"));
  Line(&outbox, LogSeverity::kInfo, "b's");
  outbox.SetJob(std::nullopt);
  Line(&outbox, LogSeverity::kInfo, "nobody's");
  EXPECT_EQ(outbox.Take(absl::Now())->logs().entries(0).text(), "a's");
  EXPECT_EQ(outbox.Take(absl::Now())->logs().job().job_id(), "b");
  EXPECT_FALSE(outbox.Take(absl::Now()).has_value());
}

TEST(OutboxTest, DropsDebugLinesFirstThenTheOldest) {
  Outbox outbox(/*message_capacity=*/4, /*line_capacity=*/3);
  outbox.SetJob(Epoch("a"));
  Line(&outbox, LogSeverity::kInfo, "one");
  Line(&outbox, LogSeverity::kDebug, "two");
  Line(&outbox, LogSeverity::kInfo, "three");
  Line(&outbox, LogSeverity::kDebug, "dropped at once");
  Line(&outbox, LogSeverity::kInfo, "four");   // Instead of "two".
  Line(&outbox, LogSeverity::kError, "five");  // Instead of "one".
  const auto lines = outbox.Take(absl::Now());
  ASSERT_EQ(lines->logs().entries_size(), 3);
  EXPECT_EQ(lines->logs().entries(0).text(), "three");
  EXPECT_EQ(lines->logs().entries(1).text(), "four");
  EXPECT_EQ(lines->logs().entries(2).text(), "five");
}

TEST(OutboxTest, RefusesMessagesBeyondItsCapacity) {
  Outbox outbox(/*message_capacity=*/2, /*line_capacity=*/2);
  EXPECT_TRUE(outbox.Put(Done(1)));
  EXPECT_TRUE(outbox.Put(Done(2)));
  EXPECT_FALSE(outbox.Put(Done(3)));
}

TEST(OutboxTest, InterruptWakesTheConsumerUntilClear) {
  Outbox outbox;
  std::thread waker([&outbox] { outbox.Interrupt(); });
  EXPECT_FALSE(outbox.Take(absl::Now() + kPatience).has_value());
  waker.join();
  ASSERT_TRUE(outbox.Put(Done(1)));
  EXPECT_FALSE(outbox.Take(absl::Now() + kPatience).has_value());
  outbox.Clear();
  ASSERT_TRUE(outbox.Put(Done(2)));
  EXPECT_EQ(outbox.Take(absl::Now() + kPatience)->round_done().round(), 2);
}

TEST(OutboxTest, CloseRefusesButKeepsWhatIsThere) {
  Outbox outbox;
  ASSERT_TRUE(outbox.Put(Done(1)));
  outbox.Close();
  EXPECT_FALSE(outbox.Put(Done(2)));
  EXPECT_FALSE(outbox.drained());
  EXPECT_TRUE(outbox.Take(absl::Now() + kPatience).has_value());
  EXPECT_TRUE(outbox.drained());
  EXPECT_FALSE(outbox.Take(absl::Now() + kPatience).has_value());
}

}  // namespace
}  // namespace rally
