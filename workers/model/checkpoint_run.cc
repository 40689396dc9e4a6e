#include "workers/model/checkpoint_run.h"

#include <random>

#include <absl/types/span.h>

#include "common/status_macros.h"

namespace rally {

absl::StatusOr<uint64_t> AgreeOnCheckpointRun(Collective* collective) {
  constexpr uint64_t kExact = (uint64_t{1} << 52) - 1;  // A double holds these and adds 0 to them.
  double number = 0;
  if (collective->rank() == 0) {
    std::random_device device;
    number = static_cast<double>(((uint64_t{device()} << 32) | device()) & kExact);
  }
  RALLY_RETURN_IF_ERROR(collective->AllReduceSum(absl::MakeSpan(&number, 1)));
  return static_cast<uint64_t>(number);
}

}  // namespace rally
