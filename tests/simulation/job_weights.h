// JobWeights: a model of a job's weights: a count of steps and a chain of hashes over them; and
// SimulatedDisk: where checkpoints of them lie, shared by all machines.
//
// Two workers hold equal weights when their chains are equal. An epoch leaves its mark in the
// chain: float sums differ with the plan, so that other members come to other bits.
#ifndef RALLY_TESTS_SIMULATION_JOB_WEIGHTS_H_
#define RALLY_TESTS_SIMULATION_JOB_WEIGHTS_H_

#include <cstdint>
#include <iterator>
#include <map>
#include <string>

#include "tests/simulation/random.h"

namespace rally::simulation {

struct JobWeights {
  int64_t step = 0;
  int64_t position = 0;  // Batches consumed.
  uint64_t chain = 0;

  // After the step of a plan.
  JobWeights After(uint32_t epoch, int64_t plan_step, int64_t next_position) const {
    return {plan_step, next_position,
            Mix(Mix(chain ^ epoch) ^ static_cast<uint64_t>(plan_step << 20 ^ next_position))};
  }
  friend bool operator==(const JobWeights&, const JobWeights&) = default;
};

// As workers/model/checkpoint.h: whole or not there, and one that is there is kept as it is.
class SimulatedDisk {
 public:
  void Save(const std::string& directory, const JobWeights& weights) {
    checkpoints_[directory].emplace(weights.step, weights);
  }
  // Fresh weights when there is none.
  JobWeights Newest(const std::string& directory) const {
    const auto found = checkpoints_.find(directory);
    if (found == checkpoints_.end() || found->second.empty()) return {};
    return std::prev(found->second.end())->second;
  }

 private:
  std::map<std::string, std::map<int64_t, JobWeights>> checkpoints_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_JOB_WEIGHTS_H_
