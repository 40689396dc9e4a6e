#include "services/coordinator/job_board.h"

#include <set>
#include <string>
#include <utility>

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

// A message that is too large reaches nobody.
TEST(JobBoard, APageOfLargeJobsIsShort) {
  JobBoard board;
  for (int i = 0; i < 20; ++i) {
    v1::Job job = Job("job-" + std::to_string(i), v1::JOB_PHASE_QUEUED);
    job.mutable_spec()->mutable_paced()->set_profile(std::string(1 << 20, '#'));
    board.Publish(std::move(job));
  }
  std::set<std::string> seen;
  v1::ListJobsRequest request;
  int pages = 0;
  do {
    const absl::StatusOr<v1::ListJobsResponse> page = board.List(request);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_FALSE(page->jobs().empty());
    EXPECT_LE(page->ByteSizeLong(), size_t{4} << 20);
    for (const v1::Job& job : page->jobs()) EXPECT_TRUE(seen.insert(job.job_id()).second);
    request.set_page_token(page->next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(pages, 7);
}

}  // namespace
}  // namespace rally
