// Fuzzes messages as they come off the wire: what parses is refused with an error, or becomes a
// type whose wire form is taken again and gives the same.
//
// The first byte chooses the message, the rest is its wire form.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <type_traits>

#include "proto/convert.h"
#include "rally/v1/cluster.pb.h"
#include "rally/v1/jobs.pb.h"
#include "scheduler/check_plan.h"
#include "services/coordinator/admission.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/job_board.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/fuzz/fuzz_dataset.h"

namespace rally::test {
namespace {

void CheckSpec(const v1::JobSpec& message) {
  const auto spec = FromProto(message);
  if (!spec.ok()) return;
  const v1::JobSpec wire = ToProto(*spec);
  const auto again = FromProto(wire);
  FuzzCheck(again.ok(), "the wire form of a job is taken: " + again.status().ToString());
  FuzzCheck(ToProto(*again).SerializeAsString() == wire.SerializeAsString(), "the job stays");
}

void CheckPlanMessage(const v1::Plan& message) {
  const auto plan = FromProto(message);
  if (!plan.ok()) return;
  const auto again = FromProto(ToProto(*plan));
  FuzzCheck(again.ok(), "the wire form of a plan is taken: " + again.status().ToString());
  FuzzCheck(*again == *plan, "the plan stays");
  for (const int64_t window : {int64_t{0}, int64_t{1}, int64_t{1} << 40}) {
    CheckPlan(*plan, {.window = window}).IgnoreError();
  }
}

void CheckSubmission(const v1::SubmitJobRequest& message) {
  if (!CheckJobId(message.job_id()).ok()) return;
  auto spec = FromProto(message.spec());
  if (!spec.ok()) return;
  spec->data.path = FuzzDataset();
  if (!CheckDataset(&*spec).ok()) return;
  CoordinatorCore core({});
  core.Apply(SubmitJob{1, message.job_id(), *spec}, absl::FromUnixSeconds(1700000000));
  FuzzCheck(core.jobs().count(message.job_id()) == 1, "an admitted job is known");
}

void CheckListing(v1::ListJobsRequest message) {
  static const JobBoard* const board = [] {
    auto* jobs = new JobBoard;
    for (int i = 0; i < 20; ++i) {
      v1::Job job;
      job.set_job_id("job-" + std::to_string(i));
      job.mutable_create_time()->set_seconds(1700000000 + i / 3);
      job.mutable_status()->set_phase(static_cast<v1::JobPhase>(1 + i % 6));
      jobs->Publish(job);
    }
    return jobs;
  }();
  std::set<std::string> seen;
  while (true) {
    const auto page = board->List(message);
    if (!page.ok()) return;
    for (const v1::Job& job : page->jobs()) {
      FuzzCheck(seen.insert(job.job_id()).second, "no job is listed twice");
    }
    if (page->next_page_token().empty()) return;
    message.set_page_token(page->next_page_token());
  }
}

// A damaged store's jobs: the coordinator starts, whatever they say.
void CheckStoredJob(const v1::Job& message) {
  CoordinatorCore core({});
  core.Apply(Recover{{StoredJob{message, 3}}}, absl::FromUnixSeconds(1700000000));
  core.Apply(Tick{}, absl::FromUnixSeconds(1700000001));
}

void CheckTimes(const v1::LogEntry& message) {
  const absl::Time time = FromProto(message.time());
  if (time > absl::InfinitePast() && time < absl::InfiniteFuture()) {
    FuzzCheck(FromProto(ToProto(time)) == time, "a time stays");
  }
}

void CheckDurations(const v1::Welcome& message) {
  const absl::Duration duration = FromProto(message.heartbeat_interval());
  if (duration > -absl::InfiniteDuration() && duration < absl::InfiniteDuration()) {
    FuzzCheck(absl::AbsDuration(FromProto(ToProto(duration)) - duration) < absl::Nanoseconds(1),
              "a duration stays");
  }
}

template <typename Message>
void Parse(const uint8_t* data, size_t size, void (*check)(Message)) {
  std::decay_t<Message> message;
  if (message.ParseFromArray(data, static_cast<int>(size))) check(message);
}

// By the first byte.
void CheckOne(const uint8_t* data, size_t size) {
  const uint8_t* wire = data + 1;
  switch (data[0] % 7) {
    case 0:
      return Parse(wire, size - 1, CheckSpec);
    case 1:
      return Parse(wire, size - 1, CheckPlanMessage);
    case 2:
      return Parse(wire, size - 1, CheckSubmission);
    case 3:
      return Parse(wire, size - 1, CheckListing);
    case 4:
      return Parse(wire, size - 1, CheckStoredJob);
    case 5:
      return Parse(wire, size - 1, CheckTimes);
    default:
      return Parse(wire, size - 1, CheckDurations);
  }
}

}  // namespace
}  // namespace rally::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) rally::test::CheckOne(data, size);
  return 0;
}
