// TrainingPosition: where a training job stands. Plain data.
#ifndef RALLY_WORKERS_MODEL_TRAINING_POSITION_H_
#define RALLY_WORKERS_MODEL_TRAINING_POSITION_H_

#include <cstdint>

#include "scheduler/plan.h"

namespace rally {

struct TrainingPosition {
  int64_t step = 0;   // Steps committed.
  DataPosition data;  // Where the next step's batch begins.

  friend bool operator==(const TrainingPosition&, const TrainingPosition&) = default;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_TRAINING_POSITION_H_
