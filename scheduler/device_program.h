// DeviceProgram: the operations of every device in one training step, in the order of the real
// program (simulator.h), with the seconds of its computation.
//
// Plain data from a pure function; any thread.
#ifndef RALLY_SCHEDULER_DEVICE_PROGRAM_H_
#define RALLY_SCHEDULER_DEVICE_PROGRAM_H_

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/device_shape.h"
#include "scheduler/phase.h"
#include "scheduler/simulator.h"
#include "scheduler/step_forecast.h"

namespace rally {

struct Operation {
  enum class Kind : uint8_t {
    kCompute,        // `seconds` of `activity`.
    kPack,           // Pack the requests of phase `index`,
    kPost,           // and send them.
    kAwaitRequests,  // Of phase `index`.
    kAttend,         // Compute the CA-tasks of phase `index`.
    kReply,          // Send the replies of phase `index`.
    kAwaitReplies,   // Of phase `index`.
    kMerge,          // Merge them.
    kSendStage,      // Activations or their gradients, message `index`.
    kAwaitStage,     // Message `index`.
    kReduce,         // Gradients over group `index`, once all of it have come.
  };
  Kind kind = Kind::kCompute;
  Activity activity = Activity::kLinear;  // Of a wait: what waiting for a device at work counts as.
  int32_t index = 0;
  double seconds = 0.0;
};

// A phase as it is run: which of the plan's, and by the workers of which stage (others are added
// to a plan's ranks).
struct PhaseRun {
  int32_t micro_batch = 0;
  int32_t nano_batch = 0;
  int32_t layer = 0;
  int32_t first_rank = 0;
  Direction direction = Direction::kForward;
};

struct StageMessage {
  int32_t from = 0;
  int32_t to = 0;
  double bytes = 0.0;
};

struct ReduceGroup {
  int32_t ranks = 0;
  double seconds = 0.0;
};

struct StepProgram {
  std::vector<std::vector<Operation>> operations;  // [ranks]
  std::vector<PhaseRun> phases;
  std::vector<StageMessage> stage_messages;
  std::vector<ReduceGroup> reduce_groups;
  std::vector<double> activation_bytes;  // [ranks], peak.
};

// `layers` layers in each run of a stage, instead of the model's; the input has been checked.
StepProgram MakeStepProgram(const SimulationInput& input, const DeviceShape& device,
                            int64_t layers);

}  // namespace rally

#endif  // RALLY_SCHEDULER_DEVICE_PROGRAM_H_
