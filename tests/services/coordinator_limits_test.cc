// What callers may take of a coordinator: jobs, streams, sessions, bytes, paths.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "rally/v1/cluster.grpc.pb.h"
#include "services/coordinator/security_options.h"
#include "tests/services/coordinator_fixture.h"

namespace rally {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

class CoordinatorLimitsTest : public CoordinatorFixture {
 protected:
  void Restart() {
    StopCoordinator();
    StartCoordinator();
  }
  static void ExpectExhausted(const grpc::Status& status, const std::string& limit) {
    EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(limit));
  }
  std::unique_ptr<grpc::ClientReader<v1::JobEvent>> OpenWatch(grpc::ClientContext* context) {
    context->set_deadline(absl::ToChronoTime(Deadline()));
    v1::WatchJobRequest request;
    request.set_job_id("job");
    return jobs()->WatchJob(context, request);
  }
};

TEST_F(CoordinatorLimitsTest, ActiveJobsAreLimited) {
  options_.limits.active_jobs = 2;
  Restart();
  ASSERT_TRUE(Submit("job", Spec(3)).ok());
  ASSERT_TRUE(Submit("second", Spec(3)).ok());
  ExpectExhausted(Submit("third", Spec(3)),
                  "--max-active-jobs: jobs that have not ended would be 3, the coordinator's limit "
                  "is 2");
  EXPECT_TRUE(Submit("second", Spec(3)).ok());  // Known: a repeated submission is safe.
  grpc::ClientContext context;
  v1::CancelJobRequest cancel;
  cancel.set_job_id("job");
  v1::Job cancelled;
  ASSERT_TRUE(jobs()->CancelJob(&context, cancel, &cancelled).ok());
  EXPECT_TRUE(Submit("third", Spec(3)).ok());
}

TEST_F(CoordinatorLimitsTest, ActiveJobsBytesAreLimited) {
  v1::Job first;
  ASSERT_TRUE(Submit("job", Spec(3), &first).ok());
  const auto bytes = static_cast<int64_t>(first.spec().ByteSizeLong());
  options_.limits.active_bytes = 3 * bytes - 1;
  Restart();
  ASSERT_TRUE(Submit("second", Spec(3)).ok());
  ExpectExhausted(Submit("third", Spec(3)),
                  "--max-active-bytes: bytes of jobs that have not ended would be " +
                      std::to_string(3 * bytes));
  EXPECT_TRUE(Submit("second", Spec(3)).ok());  // Known.
}

TEST_F(CoordinatorLimitsTest, AJobsSizeIsLimited) {
  options_.limits.job_members = 3;
  options_.limits.job_bytes = 2000;
  Restart();
  v1::JobSpec wide = Spec(3);
  wide.mutable_attention()->set_dedicated(2);
  ExpectExhausted(Submit("wide", wide),
                  "--max-job-members: workers and dedicated attention servers would be 4, the "
                  "coordinator's limit is 3");
  v1::JobSpec long_one = Spec(3);
  long_one.mutable_paced()->set_profile(std::string(2000, 'x'));
  ExpectExhausted(Submit("long", long_one), "--max-job-bytes: the job's bytes would be 2");
  EXPECT_TRUE(Submit("fits", Spec(3)).ok());
}

TEST_F(CoordinatorLimitsTest, AMessagesSizeIsLimited) {
  options_.limits.message_bytes = 10000;
  Restart();
  v1::JobSpec spec = Spec(3);
  spec.mutable_checkpoint()->set_directory(std::string(20000, 'x'));
  ExpectExhausted(Submit("job", spec), "10000");
  EXPECT_TRUE(Submit("job", Spec(3)).ok());
}

TEST_F(CoordinatorLimitsTest, StreamsOfUsersAreLimited) {
  options_.limits.streams = 2;
  Restart();
  ASSERT_TRUE(Submit("job", Spec(3)).ok());
  grpc::ClientContext first;
  grpc::ClientContext second;
  grpc::ClientContext third;
  v1::JobEvent event;
  const auto one = OpenWatch(&first);
  ASSERT_TRUE(one->Read(&event));
  const auto two = OpenWatch(&second);
  ASSERT_TRUE(two->Read(&event));
  const auto three = OpenWatch(&third);
  EXPECT_FALSE(three->Read(&event));
  ExpectExhausted(three->Finish(),
                  "--max-streams: open streams of users would be 3, the coordinator's limit is 2");
  v1::StreamLogsRequest request;
  request.set_job_id("job");
  grpc::ClientContext logs;
  ExpectExhausted(jobs()->StreamLogs(&logs, request)->Finish(), "--max-streams");
  // One that ends makes room.
  first.TryCancel();
  one->Finish();
  bool taken = false;
  while (!taken && absl::Now() < Deadline()) {
    grpc::ClientContext again;
    const auto reader = OpenWatch(&again);
    taken = reader->Read(&event);
    again.TryCancel();
    reader->Finish();
  }
  EXPECT_TRUE(taken);
  second.TryCancel();
  two->Finish();
}

TEST_F(CoordinatorLimitsTest, SessionsOfMembersAreLimited) {
  options_.limits.sessions = 1;
  Restart();
  const auto stub = v1::ClusterService::NewStub(channel());
  v1::MemberMessage hello;
  hello.mutable_hello()->set_member_id("first");
  hello.mutable_hello()->set_role(v1::MEMBER_ROLE_MODEL);
  grpc::ClientContext first;
  first.set_deadline(absl::ToChronoTime(Deadline()));
  const auto one = stub->Session(&first);
  one->Write(hello);
  v1::CoordinatorMessage welcome;
  ASSERT_TRUE(one->Read(&welcome));
  grpc::ClientContext second;
  second.set_deadline(absl::ToChronoTime(Deadline()));
  const auto two = stub->Session(&second);
  EXPECT_FALSE(two->Read(&welcome));
  ExpectExhausted(two->Finish(), "--max-sessions: open sessions of members would be 2");
  first.TryCancel();
  one->Finish();
}

TEST_F(CoordinatorLimitsTest, JobsStayBelowTheDataRoots) {
  options_.security.data_roots = {Directory("root")};
  std::filesystem::create_directory(Directory("root"));
  std::filesystem::rename(Directory("data"), Directory("root") + "/data");
  WriteDataset(Directory("outside"), {10, 20, 30, 40, 50, 60});
  std::filesystem::create_directory_symlink(Directory("outside"), Directory("root") + "/link");
  std::filesystem::create_directory_symlink("data", Directory("root") + "/newest");
  Restart();
  v1::JobSpec spec = Spec(3);
  for (const std::string& path : {Directory("outside"), Directory("root") + "/link",
                                  Directory("root") + "/../outside", std::string("data")}) {
    spec.mutable_data()->set_path(path);
    const grpc::Status status = Submit("job", spec);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << path;
    EXPECT_THAT(status.error_message(), HasSubstr("data.path: " + path));
  }
  spec.mutable_data()->set_path(Directory("root") + "/newest");
  spec.mutable_checkpoint()->set_directory(Directory("outside") + "/checkpoints");
  EXPECT_THAT(Submit("job", spec).error_message(), HasSubstr("checkpoint.directory: "));
  spec.mutable_checkpoint()->set_directory(Directory("root") + "/checkpoints");
  v1::Job job;
  const grpc::Status status = Submit("job", spec, &job);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(job.spec().data().path(),
            std::filesystem::canonical(Directory("root") + "/data").string());
  EXPECT_TRUE(Submit("job", spec).ok());  // The same again.
}

TEST_F(CoordinatorLimitsTest, JobsOutsideOfNewDataRootsEnd) {
  std::filesystem::create_directory(Directory("root"));
  ASSERT_TRUE(Submit("outside", Spec(3)).ok());
  v1::JobSpec spec = Spec(3);
  WriteDataset(Directory("root") + "/data", {10, 20, 30, 40, 50, 60});
  spec.mutable_data()->set_path(Directory("root") + "/data");
  ASSERT_TRUE(Submit("inside", spec).ok());
  options_.security.data_roots = {Directory("root")};
  Restart();
  EXPECT_EQ(Get("inside").status().phase(), v1::JOB_PHASE_QUEUED);
  const v1::Job ended = Get("outside");
  EXPECT_EQ(ended.status().phase(), v1::JOB_PHASE_FAILED);
  EXPECT_THAT(ended.DebugString(), HasSubstr("data.path: " + Directory("data")));
}

TEST(CheckExposureTest, OtherMachinesMustBeKeptOutOrLetIn) {
  const ListenAddress loopback = {"127.0.0.1", 7070};
  SecurityOptions none;
  EXPECT_TRUE(CheckExposure(none, loopback, {"::1", 0}).ok());
  EXPECT_TRUE(CheckExposure(none, {"localhost", 0}, {"127.1.2.3", 0}).ok());
  SecurityOptions all;
  all.tls = {"", "cert", "key"};
  all.token_file = "tokens";
  all.data_roots = {"/data"};
  for (const char* host : {"0.0.0.0", "::", "10.0.0.5", "192.168.1.1", "coordinator.example",
                           "127.0.0.1.example", "::ffff:127.0.0.1"}) {
    const ListenAddress outside = {host, 7070};
    EXPECT_TRUE(CheckExposure(all, outside, outside).ok());
    for (const auto& [grpc, http] : {std::pair(outside, loopback), std::pair(loopback, outside)}) {
      const absl::Status status = CheckExposure(none, grpc, http);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << host;
      for (const char* flag : {"--tls-cert", "--token-file", "--data-root", "--insecure"}) {
        EXPECT_THAT(std::string(status.message()), HasSubstr(flag));
      }
      SecurityOptions insecure;
      insecure.insecure = true;
      EXPECT_TRUE(CheckExposure(insecure, grpc, http).ok());
    }
    SecurityOptions some = all;
    some.data_roots.clear();
    EXPECT_THAT(std::string(CheckExposure(some, outside, outside).message()),
                HasSubstr("it needs --data-root"));
    some = all;
    some.token_file.clear();
    EXPECT_FALSE(CheckExposure(some, outside, outside).ok());
  }
}

}  // namespace
}  // namespace rally
