#include "services/coordinator/job_board.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

v1::Job Job(const std::string& id, v1::JobPhase phase) {
  v1::Job job;
  job.set_job_id(id);
  job.mutable_create_time()->set_seconds(1700000000);
  job.mutable_status()->set_phase(phase);
  return job;
}

TEST(JobBoard, CountsJobsByTheirNewestPhase) {
  JobBoard board;
  EXPECT_THAT(board.CountByPhase(), IsEmpty());
  board.Publish(Job("a", v1::JOB_PHASE_QUEUED));
  board.Publish(Job("b", v1::JOB_PHASE_QUEUED));
  board.Publish(Job("b", v1::JOB_PHASE_RUNNING));
  board.Publish(Job("b", v1::JOB_PHASE_RUNNING));
  EXPECT_THAT(board.CountByPhase(),
              UnorderedElementsAre(Pair(v1::JOB_PHASE_QUEUED, 1), Pair(v1::JOB_PHASE_RUNNING, 1)));
  board.Remove("a");
  board.Remove("a");
  board.Publish(Job("b", v1::JOB_PHASE_FAILED));
  EXPECT_THAT(board.CountByPhase(), UnorderedElementsAre(Pair(v1::JOB_PHASE_FAILED, 1)));
}

}  // namespace
}  // namespace rally
