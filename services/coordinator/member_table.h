// MemberTable: the registered members and what each of them holds.
//
// A member is idle, holds one epoch of a job, or was told to release it and has not yet said that
// it has. Pure data; owned by the core, one thread.
#ifndef RALLY_SERVICES_COORDINATOR_MEMBER_TABLE_H_
#define RALLY_SERVICES_COORDINATOR_MEMBER_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
#include "services/coordinator/event.h"

namespace rally {

struct Member {
  std::string id;
  v1::MemberRole role = v1::MEMBER_ROLE_UNSPECIFIED;
  std::string host;
  int64_t process_id = 0;
  SessionId session = 0;
  absl::Time last_seen;  // Lived, as all times of job_state.h that say so.
  bool leaving = false;  // Gets nothing new.
  // MemberFailed in a row, without a round done in between, that were not the user's errors. See
  // placement.h; before `not_before` (lived) it is no server for a job that runs.
  int32_t failures = 0;
  absl::Time not_before = absl::InfinitePast();

  // What it holds; an empty job: nothing.
  std::string job_id;
  uint32_t epoch = 0;
  uint32_t told_epoch = 0;  // By which the member itself knows it: behind only when it came back.
  int32_t rank = -1;
  bool proven = false;                        // Has done a round of it.
  std::optional<absl::Time> releasing_since;  // Lived.

  bool idle() const { return job_id.empty() && !leaving; }
  bool holds(const std::string& job, uint32_t job_epoch) const {
    return job_id == job && epoch == job_epoch && !releasing_since.has_value();
  }
  void Free() {
    job_id.clear();
    epoch = 0;
    rank = -1;
    proven = false;
    releasing_since.reset();
  }
};

class MemberTable {
 public:
  Member* Add(Member member);
  void Remove(const std::string& id) { members_.erase(id); }
  // Null when there is no such member.
  Member* Find(const std::string& id);
  // Null as well when the member has another session by now.
  Member* Find(const std::string& id, SessionId session);

  // By id, in ascending order.
  const std::map<std::string, Member>& members() const { return members_; }
  std::map<std::string, Member>& members() { return members_; }

 private:
  std::map<std::string, Member> members_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_MEMBER_TABLE_H_
