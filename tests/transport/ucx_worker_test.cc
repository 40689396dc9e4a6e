#include "workers/transport/ucx_worker.h"

#include <memory>
#include <utility>

#include <gtest/gtest.h>

namespace rally {
namespace {

// A deadline may pass between a look at the clock and the sleep until it. Hangs when that is wrong.
TEST(UcxWorker, DoesNotSleepForALimitThatHasPassed) {
  auto worker = UcxWorker::Create({}, [](int32_t /*peer*/) {});
  ASSERT_TRUE(worker.ok()) << worker.status();
  for (const absl::Duration limit : {-absl::Seconds(1), absl::ZeroDuration()}) {
    while ((*worker)->Progress()) {
    }
    (*worker)->Sleep(limit);
  }
}

}  // namespace
}  // namespace rally
