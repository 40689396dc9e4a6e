#include "workers/dataset_check.h"

#include <atomic>
#include <thread>
#include <utility>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

// Verifies for as long as it is let, or ends with `verdict` when told to.
class SlowDataset final : public Dataset {
 public:
  explicit SlowDataset(absl::Status verdict) : verdict_(std::move(verdict)) {}

  void Decide() { decided_ = true; }

  const DatasetInfo& info() const override { return info_; }
  int64_t length(int64_t /*index*/) const override { return 1; }
  absl::Status Read(int64_t /*index*/, int64_t /*begin*/,
                    absl::Span<int32_t> /*out*/) const override {
    return absl::OkStatus();
  }
  absl::Status Verify(absl::FunctionRef<bool()> go_on) const override {
    while (go_on()) {
      if (decided_) return verdict_;
    }
    return absl::CancelledError("stopped");
  }

 private:
  const absl::Status verdict_;
  const DatasetInfo info_;
  std::atomic<bool> decided_{false};
};

TEST(DatasetCheck, TellsOfDamageOnceItIsFound) {
  SlowDataset dataset(absl::DataLossError("torn"));
  const DatasetCheck check(&dataset);
  EXPECT_TRUE(check.status().ok());
  dataset.Decide();
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (check.status().ok() && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(check.status(), absl::DataLossError("torn"));
}

TEST(DatasetCheck, EndsAtOnceWhenNobodyWantsToKnow) {
  const SlowDataset dataset(absl::OkStatus());  // Which never decides: a hang unless it is stopped.
  const DatasetCheck check(&dataset);
  EXPECT_TRUE(check.status().ok());
}

}  // namespace
}  // namespace rally
