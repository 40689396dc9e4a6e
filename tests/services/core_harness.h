// CoreHarness: the core with a clock of the test's own and members that can be made to say things.
#ifndef RALLY_TESTS_SERVICES_CORE_HARNESS_H_
#define RALLY_TESTS_SERVICES_CORE_HARNESS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "services/coordinator/coordinator_core.h"

namespace rally {

class CoreHarness {
 public:
  explicit CoreHarness(const CoreOptions& options = {}) : core_(options) {}

  // Applies an event and keeps its actions: those of the last event in `last`, jobs as persisted,
  // messages by session.
  void Apply(const Event& event);
  void Advance(absl::Duration time) { now_ += time; }
  // In the coordinator's ticks, with heartbeats of these sessions before each.
  void Pass(absl::Duration time, const std::vector<SessionId>& alive = {});
  absl::Time now() const { return now_; }

  // A job of `workers` and `servers`, `steps` steps, vocabulary set.
  static JobSpec Spec(int32_t workers, int32_t servers, int64_t steps);
  void Submit(const std::string& id, const JobSpec& spec);
  absl::Status last_answer() const;
  // Sessions count from 1 in order of hello.
  SessionId Hello(const std::string& id, v1::MemberRole role = v1::MEMBER_ROLE_MODEL,
                  const std::string& host = "here", int64_t process_id = 1);
  void Lose(SessionId session);
  void Say(SessionId session, const v1::MemberMessage& message);
  void SayPrepared(SessionId session, const std::string& job, uint32_t epoch);
  void SayReady(SessionId session, const std::string& job, uint32_t epoch, int64_t step = 0);
  void SayRoundDone(SessionId session, const std::string& job, uint32_t epoch, int64_t round,
                    double loss = 1.0);
  // With what its core attention took.
  void SayAttentionDone(SessionId session, const std::string& job, uint32_t epoch, int64_t round,
                        absl::Duration compute, int64_t pairs);
  void SayCommitted(SessionId session, const std::string& job, uint32_t epoch, int64_t round);
  void SayCheckpoint(SessionId session, const std::string& job, uint32_t epoch, int64_t step,
                     const absl::Status& status = absl::OkStatus());
  void SayFailed(SessionId session, const std::string& job, uint32_t epoch, absl::Status status);
  void SayReleased(SessionId session, const std::string& job, uint32_t epoch);
  // Answers the oldest request for a plan; false when there is none.
  bool AnswerPlan();
  // Takes these sessions, ranks in order, to running.
  void Start(const std::vector<SessionId>& sessions, const std::string& job, uint32_t epoch,
             int64_t step = 0);

  const v1::Job& job(const std::string& id) const { return core_.jobs().at(id).job; }
  bool knows(const std::string& id) const { return core_.jobs().count(id) > 0; }
  v1::JobPhase phase(const std::string& id) const { return job(id).status().phase(); }
  // Messages of one kind that a session was sent, since the start.
  std::vector<v1::CoordinatorMessage> Sent(SessionId session,
                                           v1::CoordinatorMessage::MessageCase kind) const;
  size_t pending_plans() const { return requests_.size(); }
  const RequestPlan& next_plan() const { return requests_.front(); }

  std::vector<Action> last;
  std::vector<v1::JobEvent> events;  // All appended, any job.

 private:
  CoordinatorCore core_;
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
  SessionId last_session_ = 0;
  std::map<SessionId, std::string> ids_;
  std::map<SessionId, std::vector<v1::CoordinatorMessage>> sent_;
  std::vector<RequestPlan> requests_;
};

}  // namespace rally

#endif  // RALLY_TESTS_SERVICES_CORE_HARNESS_H_
