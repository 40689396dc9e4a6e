// Placement: which idle members a job gets. All or nothing.
//
// A host that can hold the whole job is preferred, since its members share memory; the first one in
// order of name. Otherwise members are taken in order of id. Members that have failed and not
// worked since are chosen only where there are not enough others, those that failed least first: a
// job that starts is held back by its own back-off, and may be what fails. Pure functions, any
// thread.
#ifndef RALLY_SERVICES_COORDINATOR_PLACEMENT_H_
#define RALLY_SERVICES_COORDINATOR_PLACEMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "scheduler/job_spec.h"
#include "services/coordinator/member_table.h"

namespace rally {

struct Placement {
  std::vector<std::string> members;  // By rank: workers, then attention servers. Empty: not placed.
  bool single_host = false;
  // Why the job cannot be placed: "NotEnoughWorkers" or "NotEnoughAttentionServers", and a sentence
  // with the counts.
  std::string reason;
  std::string message;

  bool placed() const { return !members.empty(); }
};

Placement Place(const JobSpec& spec, const MemberTable& table);

// Whether the job could be placed were its own members idle, without others that have just failed.
// `lived` is the time of Member::not_before.
bool CouldPlace(const JobSpec& spec, const MemberTable& table, const std::string& job_id,
                absl::Time lived);

// Model workers that are idle, or will be once they have released what they hold, without those
// that have just failed.
int64_t FreeWorkers(const MemberTable& table, absl::Time lived);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_PLACEMENT_H_
