// A kernel that hangs on demand, and its watch with ticks of a millisecond.
#include "workers/attention/watched_kernel.h"

#include <memory>
#include <string>
#include <thread>

#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/bounded_queue.h"

namespace rally {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kUsual = absl::Milliseconds(2);
constexpr absl::Duration kWhile = absl::Milliseconds(200);  // Longer than the least limit.

// Takes kUsual, or until `hang` is notified.
class ScriptedKernel : public AttentionKernel {
 public:
  absl::Status Forward(const AttentionShape&, absl::Span<const VarlenTask>) override {
    return Compute();
  }
  absl::Status Backward(const AttentionShape&, absl::Span<const VarlenTask>) override {
    return Compute();
  }
  std::string name() const override { return "scripted"; }

  absl::Notification* hang = nullptr;
  absl::Status status;

 private:
  absl::Status Compute() const {
    if (hang != nullptr) {
      hang->WaitForNotification();
    } else {
      absl::Notification().WaitForNotificationWithTimeout(kUsual);
    }
    return status;
  }
};

class WatchedKernelTest : public ::testing::Test {
 protected:
  static KernelWatchOptions Options() {
    KernelWatchOptions options;
    options.least = absl::Milliseconds(20);
    options.tick = absl::Milliseconds(1);
    return options;
  }

  // A square of so many rows and keys, all allowed.
  static VarlenBatch Batch(int64_t rows) {
    VarlenTask task;
    task.q_rows = rows;
    task.kv_rows = rows;
    task.q_position = rows;
    return {task};
  }

  absl::Status Forward(int64_t rows) { return watched_->Forward({}, Batch(rows)); }

  // Hangs in the call until it is reported, or for a while: whether it was.
  template <typename Call>
  bool IsReported(absl::Duration patience, const Call& call) {
    absl::Notification hang;
    kernel_.hang = &hang;
    std::thread caller([&call] { EXPECT_TRUE(call().ok()); });
    const auto report = reports_.Pop(absl::Now() + patience);
    EXPECT_EQ(reports_.Pop(absl::Now() + kWhile), std::nullopt) << "it was said before";
    hang.Notify();
    caller.join();
    kernel_.hang = nullptr;
    if (report.has_value()) {
      EXPECT_TRUE(absl::IsDeadlineExceeded(*report)) << *report;
    }
    return report.has_value();
  }

  ScriptedKernel kernel_;
  BoundedQueue<absl::Status> reports_{16};
  std::unique_ptr<AttentionKernel> watched_ = MakeWatchedKernel(
      &kernel_, Options(),
      [this](const absl::Status& late) { EXPECT_TRUE(reports_.Push(late, absl::Now())); });
};

TEST_F(WatchedKernelTest, PassesCallsOn) {
  EXPECT_EQ(watched_->name(), "scripted");
  EXPECT_TRUE(Forward(100).ok());
  kernel_.status = absl::InvalidArgumentError("no such shape");
  EXPECT_EQ(Forward(100), kernel_.status);
  EXPECT_EQ(watched_->Backward({}, Batch(100)), kernel_.status);
}

TEST_F(WatchedKernelTest, ReportsEveryCallThatDoesNotReturn) {
  ASSERT_TRUE(Forward(100).ok());
  EXPECT_TRUE(IsReported(kPatience, [this] { return Forward(100); }));
  EXPECT_TRUE(IsReported(kPatience, [this] { return Forward(100); }));
}

TEST_F(WatchedKernelTest, DoesNotJudgeACallWithoutOneBeforeIt) {
  EXPECT_FALSE(IsReported(kWhile, [this] { return Forward(100); }));
  EXPECT_FALSE(IsReported(kWhile, [this] { return watched_->Backward({}, Batch(100)); }));
}

TEST_F(WatchedKernelTest, WaitsLongerForMoreWork) {
  ASSERT_TRUE(Forward(100).ok());
  // Ten thousand times the pairs may take 400 seconds and more.
  EXPECT_FALSE(IsReported(kWhile, [this] { return Forward(10000); }));
}

}  // namespace
}  // namespace rally
