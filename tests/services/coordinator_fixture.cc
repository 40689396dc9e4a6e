#include "tests/services/coordinator_fixture.h"

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/dataset_writer.h"

namespace rally {

void WriteDataset(const std::string& directory, const std::vector<int64_t>& lengths) {
  DatasetInfo info;
  info.token_bytes = 2;
  info.vocabulary = 257;
  info.tokenizer = "bytes";
  info.end_of_document = 256;
  absl::StatusOr<std::unique_ptr<DatasetWriter>> writer = DatasetWriter::Create(directory, info);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (int64_t length : lengths) {
    ASSERT_TRUE((*writer)->Add(std::vector<int32_t>(length - 1, 65)).ok());
  }
  ASSERT_TRUE((*writer)->Finish().ok());
}

void CoordinatorFixture::SetUp() {
  std::string pattern = testing::TempDir() + "rally-coordinator-XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  directory_ = pattern;
  deadline_ = absl::Now() + absl::Seconds(60);
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 40; ++i) lengths.push_back(5 + 7 * i % 90);
  WriteDataset(Directory("data"), lengths);
  options_.grpc = {"127.0.0.1", 0};
  options_.http = {"127.0.0.1", 0};
  options_.data_directory = Directory("coordinator");
  options_.core.heartbeat_interval = absl::Milliseconds(100);
  StartCoordinator();
}

void CoordinatorFixture::TearDown() {
  ExpectNoViolations();
  members_.clear();
  coordinator_.reset();
  std::filesystem::remove_all(directory_);
}

void CoordinatorFixture::StartCoordinator() {
  absl::StatusOr<std::unique_ptr<Coordinator>> coordinator = Coordinator::Start(options_);
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  coordinator_ = *std::move(coordinator);
  // A coordinator that is started again listens where its members look for it.
  options_.grpc = coordinator_->grpc_address();
  options_.http = coordinator_->http_address();
  channel_ = grpc::CreateChannel(address(), grpc::InsecureChannelCredentials());
  stub_ = v1::JobService::NewStub(channel_);
}

ScriptedMember* CoordinatorFixture::AddMember(Script script) {
  members_.push_back(std::make_unique<ScriptedMember>(address(), std::move(script), &disk_));
  return members_.back().get();
}

void CoordinatorFixture::AddMembers(int workers, int servers) {
  for (int i = 0; i < workers; ++i) AddMember({.id = absl::StrCat("worker-", i)});
  for (int i = 0; i < servers; ++i) {
    AddMember({.id = absl::StrCat("server-", i), .role = v1::MEMBER_ROLE_ATTENTION});
  }
}

void CoordinatorFixture::ExpectNoViolations() {
  for (const auto& member : members_) EXPECT_TRUE(member->violation().ok()) << member->violation();
}

v1::JobSpec CoordinatorFixture::Spec(int64_t steps) const {
  v1::JobSpec spec;
  spec.mutable_data()->set_path(Directory("data"));
  spec.mutable_data()->set_validation_fraction(0.2);
  spec.mutable_batch()->set_chunk_tokens(64);
  spec.mutable_batch()->set_chunks(2);
  spec.mutable_training()->set_steps(steps);
  spec.set_workers(2);
  spec.mutable_attention()->set_dedicated(1);
  return spec;
}

grpc::Status CoordinatorFixture::Submit(const std::string& job_id, const v1::JobSpec& spec,
                                        v1::Job* job) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Deadline()));
  v1::SubmitJobRequest request;
  request.set_job_id(job_id);
  *request.mutable_spec() = spec;
  v1::Job response;
  const grpc::Status status = stub_->SubmitJob(&context, request, &response);
  if (job != nullptr) *job = response;
  return status;
}

v1::Job CoordinatorFixture::Get(const std::string& job_id) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Deadline()));
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  v1::Job job;
  const grpc::Status status = stub_->GetJob(&context, request, &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job;
}

std::vector<v1::JobEvent> CoordinatorFixture::Watch(const std::string& job_id, int64_t after) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Deadline()));
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_after_sequence(after);
  const auto reader = stub_->WatchJob(&context, request);
  std::vector<v1::JobEvent> events;
  v1::JobEvent event;
  while (reader->Read(&event)) events.push_back(event);
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return events;
}

void CoordinatorFixture::WaitForStep(const std::string& job_id, int64_t step) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Deadline()));
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  const auto reader = stub_->WatchJob(&context, request);
  v1::JobEvent event;
  while (reader->Read(&event)) {
    if (event.has_step() && event.step().step() == step) return;
  }
  ADD_FAILURE() << "step " << step << " was not committed: " << reader->Finish().error_message();
}

}  // namespace rally
