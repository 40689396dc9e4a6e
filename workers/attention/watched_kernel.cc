#include "workers/attention/watched_kernel.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

namespace rally {
namespace {

constexpr double kForgotten = 0.9;  // Of the calls before, what still counts after one more.

int64_t PairsOf(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) {
  int64_t pairs = 0;
  for (const VarlenTask& task : tasks) {
    pairs += AllowedPairs(task.q_position, task.q_position + task.q_rows, task.kv_position,
                          task.kv_position + task.kv_rows, shape.mask);
  }
  return pairs;
}

class WatchedKernel : public AttentionKernel {
 public:
  WatchedKernel(AttentionKernel* kernel, const KernelWatchOptions& options,
                std::function<void(const absl::Status&)> report)
      : kernel_(*kernel),
        options_(options),
        report_(std::move(report)),
        watch_([this] { Watch(); }) {}

  ~WatchedKernel() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    watch_.join();
  }

  absl::Status Forward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    const auto call = [&] { return kernel_.Forward(shape, tasks); };
    return Watched(&usual_[0], PairsOf(shape, tasks), call);
  }

  absl::Status Backward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    const auto call = [&] { return kernel_.Backward(shape, tasks); };
    return Watched(&usual_[1], PairsOf(shape, tasks), call);
  }

  std::string name() const override { return kernel_.name(); }

 private:
  // Calls of one direction that were not late, the latest counting most.
  struct Usual {
    double pairs = 0.0;
    absl::Duration time;
  };
  // The call under way.
  struct Call {
    absl::Duration limit;
    absl::Duration taken;
    bool late = false;  // And reported.
  };

  template <typename Compute>
  absl::Status Watched(Usual* usual, int64_t pairs, const Compute& compute) {
    const absl::Time start = absl::Now();
    Begin(*usual, pairs);
    absl::Status status = compute();
    const bool late = End();
    if (status.ok() && !late && pairs > 0) {
      usual->pairs = kForgotten * usual->pairs + static_cast<double>(pairs);
      usual->time = kForgotten * usual->time + (absl::Now() - start);
    }
    return status;
  }

  void Begin(const Usual& usual, int64_t pairs) {
    absl::Duration limit = absl::InfiniteDuration();
    if (usual.pairs > 0.0) {
      const absl::Duration expected = usual.time * (static_cast<double>(pairs) / usual.pairs);
      limit = options_.least + options_.times_usual * expected;
    }
    absl::MutexLock lock(&mutex_);
    call_ = Call{limit};
  }

  // Whether the call was late.
  bool End() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(call_, std::nullopt)->late;
  }

  void Watch() {
    while (std::optional<absl::Status> late = NextLate()) report_(*late);
  }

  // Waits for a call that is late; none when the watch ends.
  std::optional<absl::Status> NextLate() {
    absl::MutexLock lock(&mutex_);
    while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.tick)) {
      if (!call_.has_value() || call_->late) continue;
      call_->taken += options_.tick;
      if (call_->taken <= call_->limit) continue;
      call_->late = true;
      return absl::DeadlineExceededError(
          absl::StrCat("core attention has not returned after ", absl::FormatDuration(call_->limit),
                       ", ", options_.times_usual, " times what such work takes and more"));
    }
    return std::nullopt;
  }

  AttentionKernel& kernel_;
  const KernelWatchOptions options_;
  const std::function<void(const absl::Status&)> report_;
  std::array<Usual, 2> usual_;  // Forward, backward.

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Call> call_ ABSL_GUARDED_BY(mutex_);

  std::thread watch_;  // Last: it uses all of the above.
};

}  // namespace

std::unique_ptr<AttentionKernel> MakeWatchedKernel(
    AttentionKernel* kernel, const KernelWatchOptions& options,
    std::function<void(const absl::Status& late)> report) {
  return std::make_unique<WatchedKernel>(kernel, options, std::move(report));
}

}  // namespace rally
