#include "services/cli/job_client.h"

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/scripted_job_service.h"

namespace rally {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

class JobClientTest : public testing::Test {
 protected:
  JobClientTest() : client_(*JobClient::Create(service_.address(), &interruption_)) {}

  // Watches, collecting the events' numbers.
  absl::StatusOr<v1::JobPhase> Watch() {
    return client_->Watch("my-job", 0, kPatience,
                          [this](const v1::JobEvent& event) { seen_.push_back(event.sequence()); });
  }

  ScriptedJobService service_;
  Interruption interruption_;
  std::unique_ptr<JobClient> client_;
  std::vector<int64_t> seen_;
};

TEST_F(JobClientTest, RefusesAnAddressWithoutPort) {
  for (const char* address : {"localhost", "localhost:", ":7070", "a:0", "a:65536", "a:b", ""}) {
    EXPECT_EQ(JobClient::Create(address, &interruption_).status().code(),
              absl::StatusCode::kInvalidArgument)
        << address;
  }
  EXPECT_TRUE(JobClient::Create("[::1]:7070", &interruption_).ok());
}

TEST_F(JobClientTest, NamesACoordinatorThatIsNotThere) {
  service_.Stop();
  const absl::Time start = absl::Now();
  const absl::Status status = client_->Get("my-job").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no coordinator answers at " + service_.address()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("rally up"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST_F(JobClientTest, KeepsTheCoordinatorsErrors) {
  EXPECT_EQ(client_->Get("no-job").status(), absl::NotFoundError("there is no job no-job"));
  service_.SetError(grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "another spec"));
  EXPECT_EQ(client_->Submit({}).status(), absl::AlreadyExistsError("another spec"));
}

TEST_F(JobClientTest, ListsAllPages) {
  std::vector<v1::Job> jobs(3);
  for (int i = 0; i < 3; ++i) jobs[i].set_job_id(std::string(1, static_cast<char>('a' + i)));
  service_.SetJobs(jobs);
  const absl::StatusOr<v1::ListJobsResponse> all = client_->List({});
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->jobs_size(), 3);
  EXPECT_EQ(all->jobs(2).job_id(), "c");
}

TEST_F(JobClientTest, WatchesToTheEnd) {
  service_.SetEvents(EventsOfJob(3, v1::JOB_PHASE_FAILED), /*per_stream=*/100, /*hang=*/false);
  const absl::StatusOr<v1::JobPhase> phase = Watch();
  ASSERT_TRUE(phase.ok()) << phase.status();
  EXPECT_EQ(*phase, v1::JOB_PHASE_FAILED);
  EXPECT_THAT(seen_, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(JobClientTest, ResumesALostStreamWithoutLossOrRepetition) {
  service_.SetEvents(EventsOfJob(3, v1::JOB_PHASE_SUCCEEDED), /*per_stream=*/2, /*hang=*/false);
  const absl::StatusOr<v1::JobPhase> phase = Watch();
  ASSERT_TRUE(phase.ok()) << phase.status();
  EXPECT_EQ(*phase, v1::JOB_PHASE_SUCCEEDED);
  EXPECT_THAT(seen_, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(service_.watched_after(), ElementsAre(0, 2, 4));
}

TEST_F(JobClientTest, OutlivesARestartOfTheCoordinator) {
  service_.SetEvents(EventsOfJob(3, v1::JOB_PHASE_SUCCEEDED), /*per_stream=*/2, /*hang=*/false);
  std::thread restart;
  const absl::StatusOr<v1::JobPhase> phase =
      client_->Watch("my-job", 0, kPatience, [&](const v1::JobEvent& event) {
        seen_.push_back(event.sequence());
        if (event.sequence() != 2) return;
        restart = std::thread([this] {
          service_.Stop();
          service_.Start();
        });
      });
  restart.join();
  ASSERT_TRUE(phase.ok()) << phase.status();
  EXPECT_THAT(seen_, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(JobClientTest, AnEndedJobWithNothingNewGivesItsPhase) {
  v1::Job job;
  job.set_job_id("my-job");
  job.mutable_status()->set_phase(v1::JOB_PHASE_CANCELLED);
  service_.SetJobs({job});
  service_.SetEvents({}, 100, false);
  const absl::StatusOr<v1::JobPhase> phase = Watch();
  ASSERT_TRUE(phase.ok()) << phase.status();
  EXPECT_EQ(*phase, v1::JOB_PHASE_CANCELLED);
}

TEST_F(JobClientTest, AnInterruptionEndsAWatch) {
  std::vector<v1::JobEvent> events = EventsOfJob(1, v1::JOB_PHASE_SUCCEEDED);
  events.pop_back();
  service_.SetEvents(events, 100, /*hang=*/true);
  const absl::StatusOr<v1::JobPhase> phase =
      client_->Watch("my-job", 0, kPatience, [this](const v1::JobEvent& event) {
        if (event.sequence() == 2) interruption_.Interrupt(absl::CancelledError("interrupted"));
      });
  EXPECT_EQ(phase.status(), absl::CancelledError("interrupted"));
  EXPECT_EQ(client_->Get("my-job").status(), absl::CancelledError("interrupted"));
}

TEST_F(JobClientTest, ADeadlineEndsAWatch) {
  service_.SetEvents({}, 100, /*hang=*/true);
  client_->set_deadline(absl::Now() + absl::Milliseconds(200));
  EXPECT_EQ(Watch().status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(JobClientTest, StreamsTheLinesOfARank) {
  std::vector<v1::LogLine> lines(3);
  for (int i = 0; i < 3; ++i) {
    lines[i].set_rank(i % 2);
    lines[i].set_text(std::to_string(i));
  }
  service_.SetLines(lines);
  v1::StreamLogsRequest request;
  request.set_rank(0);
  std::vector<std::string> texts;
  EXPECT_TRUE(
      client_->Logs(request, [&](const v1::LogLine& line) { texts.push_back(line.text()); }).ok());
  EXPECT_THAT(texts, ElementsAre("0", "2"));
}

}  // namespace
}  // namespace rally
