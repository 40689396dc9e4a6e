// SimulatedStore: the coordinator's store in memory: what is written survives every crash.
//
// Keeps the contract of services/coordinator/store.h: a write is done wholly or not at all. Its
// content outlives the coordinator's processes. One thread.
#ifndef RALLY_TESTS_SIMULATION_SIMULATED_STORE_H_
#define RALLY_TESTS_SIMULATION_SIMULATED_STORE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/types/span.h>

#include "rally/v1/jobs.pb.h"
#include "services/coordinator/event.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

class SimulatedStore {
 public:
  explicit SimulatedStore(World* world) : world_(*world) {}

  static bool Concerns(const Action& action) {
    return std::holds_alternative<PersistJob>(action) ||
           std::holds_alternative<AppendJobEvent>(action) ||
           std::holds_alternative<AppendLogs>(action) || std::holds_alternative<DeleteJob>(action);
  }

  void Write(absl::Span<const Action> actions) {
    for (const Action& action : actions) {
      if (const auto* persist = std::get_if<PersistJob>(&action)) {
        world_.invariants.Stored(persist->job);
        jobs_[persist->job.job_id()] = persist->job;
      } else if (const auto* append = std::get_if<AppendJobEvent>(&action)) {
        int64_t& last = last_sequence_[append->job_id];
        world_.invariants.StoredEvent(append->job_id, append->event, last);
        last = append->event.sequence();
      } else if (const auto* gone = std::get_if<DeleteJob>(&action)) {
        const auto job = jobs_.find(gone->job_id);
        if (job == jobs_.end()) continue;
        world_.invariants.Deleted(job->second, world_.timeline.now());
        deleted_[gone->job_id] = job->second;
        jobs_.erase(job);
        last_sequence_.erase(gone->job_id);
      }
    }
  }

  std::vector<StoredJob> LoadJobs() const {
    std::vector<StoredJob> stored;
    for (const auto& [id, job] : jobs_) {
      const auto last = last_sequence_.find(id);
      stored.push_back({job, last == last_sequence_.end() ? 0 : last->second});
    }
    return stored;
  }

  const std::map<std::string, v1::Job>& jobs() const { return jobs_; }
  // As they were at the end.
  const std::map<std::string, v1::Job>& deleted() const { return deleted_; }

 private:
  World& world_;
  std::map<std::string, v1::Job> jobs_;
  std::map<std::string, v1::Job> deleted_;
  std::map<std::string, int64_t> last_sequence_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_SIMULATED_STORE_H_
