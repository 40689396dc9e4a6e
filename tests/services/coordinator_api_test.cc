// A real coordinator's front ends: errors, paging, streams, reflection, health, metrics.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/blocking_counter.h>
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "common/host.h"
#include "tests/services/coordinator_fixture.h"
#include "tests/services/program.h"

namespace rally {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class CoordinatorApiTest : public CoordinatorFixture {
 protected:
  // One request, one answer of any method, as bytes.
  std::string Call(const std::string& method, const std::string& request) {
    grpc::GenericStub stub(channel());
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Deadline()));
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, method, &queue);
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    call->StartCall(this);
    EXPECT_TRUE(wait());
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), this);
    EXPECT_TRUE(wait());
    grpc::ByteBuffer answer;
    call->Read(&answer, this);
    EXPECT_TRUE(wait());
    grpc::Status status;
    call->Finish(&status, this);
    wait();
    EXPECT_TRUE(status.ok()) << status.error_message();
    grpc::Slice bytes;
    if (!answer.DumpToSingleSlice(&bytes).ok()) return "";
    return std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }

  std::string Http(const std::string& path, int code = 200) {
    httplib::Client client("127.0.0.1", coordinator_->http_address().port);
    const httplib::Result result = client.Get(path);
    EXPECT_TRUE(result);
    if (!result) return "";
    EXPECT_EQ(result->status, code);
    return result->body;
  }
};

TEST_F(CoordinatorApiTest, EndsTheSessionOfAMemberThatSaysWhatCannotBe) {
  v1::MemberMessage hello, impossible;
  hello.mutable_hello()->set_member_id("liar");
  hello.mutable_hello()->set_role(v1::MEMBER_ROLE_MODEL);
  impossible.mutable_ready()->mutable_position()->set_index(-5);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Deadline()));
  const auto session = v1::ClusterService::NewStub(channel())->Session(&context);
  ASSERT_TRUE(session->Write(hello));
  ASSERT_TRUE(session->Write(impossible));
  v1::CoordinatorMessage message;
  while (session->Read(&message)) {
  }
  const grpc::Status status = session->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("ready.position.index: -5 is not in [0, "));
}

TEST_F(CoordinatorApiTest, RefusesWhatCannotRunAndSaysWhy) {
  WriteDataset(Directory("single-tokens"), {1, 1, 1});
  WriteDataset(Directory("cut"), {10, 10, 10});
  std::filesystem::resize_file(Directory("cut") + "/tokens.bin", 40);
  v1::JobSpec missing = Spec(3), empty = Spec(3), cut = Spec(3), narrow = Spec(3), zero = Spec(3);
  missing.mutable_data()->set_path(Directory("nowhere"));
  empty.mutable_data()->set_path(Directory("single-tokens"));
  cut.mutable_data()->set_path(Directory("cut"));
  narrow.mutable_model()->set_vocabulary(100);
  zero.mutable_training()->set_steps(0);
  const struct {
    std::string id;
    v1::JobSpec spec;
    grpc::StatusCode code;
    std::string message;
  } cases[] = {
      {"job", missing, grpc::StatusCode::NOT_FOUND, "data.path"},
      {"job", empty, grpc::StatusCode::FAILED_PRECONDITION, "nothing to predict"},
      {"job", cut, grpc::StatusCode::DATA_LOSS, "data.path"},
      {"job", narrow, grpc::StatusCode::INVALID_ARGUMENT, "model.vocabulary: 100"},
      {"job", zero, grpc::StatusCode::INVALID_ARGUMENT, "training.steps: 0 is not in [1, "},
      {"Job", Spec(3), grpc::StatusCode::INVALID_ARGUMENT, "job_id: \"Job\""},
      {"", Spec(3), grpc::StatusCode::INVALID_ARGUMENT, "job_id"},
  };
  for (const auto& test : cases) {
    const grpc::Status status = Submit(test.id, test.spec);
    EXPECT_EQ(status.error_code(), test.code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(test.message));
  }
  grpc::ClientContext context;
  v1::ListJobsResponse jobs_now;
  ASSERT_TRUE(jobs()->ListJobs(&context, v1::ListJobsRequest(), &jobs_now).ok());
  EXPECT_EQ(jobs_now.jobs_size(), 0);
}

TEST_F(CoordinatorApiTest, ValidateOnlyQueuesNothing) {
  grpc::ClientContext context;
  v1::SubmitJobRequest request;
  request.set_job_id("job");
  *request.mutable_spec() = Spec(3);
  request.set_validate_only(true);
  v1::Job job;
  ASSERT_TRUE(jobs()->SubmitJob(&context, request, &job).ok());
  EXPECT_EQ(job.spec().model().vocabulary(), 257);
  grpc::ClientContext again;
  v1::GetJobRequest get;
  get.set_job_id("job");
  EXPECT_EQ(jobs()->GetJob(&again, get, &job).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(CoordinatorApiTest, SubmitIsIdempotentAndAnotherSpecIsRefused) {
  EXPECT_TRUE(Submit("job", Spec(3)).ok());
  EXPECT_TRUE(Submit("job", Spec(3)).ok());
  EXPECT_EQ(Submit("job", Spec(4)).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(CoordinatorApiTest, ListsTheProcessesOfAJob) {
  AddMembers(2, 1);
  ASSERT_TRUE(Submit("job", Spec(1000)).ok());
  WaitForStep("job", 1);
  v1::ListProcessesRequest request;
  request.set_job_id("job");
  v1::ListProcessesResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(jobs()->ListProcesses(&context, request, &response).ok());
  ASSERT_EQ(response.processes_size(), 4);
  EXPECT_EQ(response.processes(0).role(), v1::PROCESS_ROLE_COORDINATOR);
  EXPECT_EQ(response.processes(0).process_id(), getpid());
  EXPECT_EQ(response.processes(0).host(), MachineName());
  EXPECT_EQ(response.processes(1).role(), v1::PROCESS_ROLE_WORKER);
  EXPECT_EQ(response.processes(3).role(), v1::PROCESS_ROLE_ATTENTION_SERVER);
  request.set_job_id("nothing");
  grpc::ClientContext again;
  EXPECT_EQ(jobs()->ListProcesses(&again, request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(CoordinatorApiTest, ListsInPagesNewestFirst) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Submit(absl::StrCat("job-", i), Spec(3)).ok());
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> ids;
  int pages = 0;
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    ASSERT_TRUE(jobs()->ListJobs(&context, request, &response).ok());
    for (const v1::Job& job : response.jobs()) ids.push_back(job.job_id());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(ids, ElementsAre("job-4", "job-3", "job-2", "job-1", "job-0"));

  grpc::ClientContext context;
  v1::ListJobsResponse response;
  request.set_page_token("zz");
  EXPECT_EQ(jobs()->ListJobs(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(CoordinatorApiTest, StreamsLogsByRank) {
  AddMembers(2, 1);
  ASSERT_TRUE(Submit("job", Spec(2)).ok());
  Watch("job");
  v1::StreamLogsRequest request;
  request.set_job_id("job");
  request.set_follow(true);
  request.set_rank(2);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Deadline()));
  const auto reader = jobs()->StreamLogs(&context, request);
  v1::LogLine line;
  ASSERT_TRUE(reader->Read(&line));
  EXPECT_EQ(line.text(), "rank 2 prepared");
  EXPECT_FALSE(reader->Read(&line));
  EXPECT_TRUE(reader->Finish().ok());
}

// Counts a watch's events and whether they came without gaps.
class Watcher final : public grpc::ClientReadReactor<v1::JobEvent> {
 public:
  Watcher(v1::JobService::Stub* stub, absl::Time deadline, absl::BlockingCounter* done)
      : done_(done) {
    context_.set_deadline(absl::ToChronoTime(deadline));
    request_.set_job_id("job");
    stub->async()->WatchJob(&context_, &request_, this);
    StartRead(&event_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    gapless_ &= event_.sequence() == ++count_;
    StartRead(&event_);
  }
  void OnDone(const grpc::Status& status) override {
    ok_ = status.ok();
    done_->DecrementCount();
  }
  bool good() const { return ok_ && gapless_; }
  int64_t count() const { return count_; }

 private:
  absl::BlockingCounter* const done_;
  grpc::ClientContext context_;
  v1::WatchJobRequest request_;
  v1::JobEvent event_;
  int64_t count_ = 0;
  bool gapless_ = true;
  bool ok_ = false;
};

TEST_F(CoordinatorApiTest, TwoHundredWatchersSeeEveryEventOnce) {
  ASSERT_TRUE(Submit("job", Spec(20)).ok());
  constexpr int kWatchers = 200;
  absl::BlockingCounter done(kWatchers);
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < kWatchers; ++i) {
    watchers.push_back(std::make_unique<Watcher>(jobs(), Deadline(), &done));
  }
  AddMembers(2, 1);
  done.Wait();  // Every call has a deadline.
  const int64_t events = static_cast<int64_t>(Watch("job").size());
  for (const auto& watcher : watchers) {
    EXPECT_TRUE(watcher->good());
    EXPECT_EQ(watcher->count(), events);
  }
}

TEST_F(CoordinatorApiTest, ReflectionDescribesTheServices) {
  // The messages of gRPC's own reflection library, which this program links.
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  const auto make = [&](const std::string& name) {
    const auto* type = pool->FindMessageTypeByName("grpc.reflection.v1alpha." + name);
    return std::unique_ptr<google::protobuf::Message>(factory->GetPrototype(type)->New());
  };
  const auto ask = [&](const std::string& field, const std::string& value) {
    const auto request = make("ServerReflectionRequest");
    request->GetReflection()->SetString(request.get(),
                                        request->GetDescriptor()->FindFieldByName(field), value);
    auto response = make("ServerReflectionResponse");
    EXPECT_TRUE(response->ParseFromString(
        Call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
             request->SerializeAsString())));
    return response;
  };
  const std::string services = ask("list_services", "")->ShortDebugString();
  for (const char* name :
       {"rally.v1.JobService", "rally.v1.ClusterService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(services, HasSubstr(name));
  }
  const auto files = ask("file_containing_symbol", "rally.v1.JobService");
  const auto* field = files->GetDescriptor()->FindFieldByName("file_descriptor_response");
  const google::protobuf::Message& list = files->GetReflection()->GetMessage(*files, field);
  const auto* bytes = list.GetDescriptor()->FindFieldByName("file_descriptor_proto");
  std::vector<std::string> methods;
  for (int i = 0; i < list.GetReflection()->FieldSize(list, bytes); ++i) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(list.GetReflection()->GetRepeatedString(list, bytes, i)));
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) methods.push_back(method.name());
    }
  }
  for (const char* method : {"SubmitJob", "GetJob", "ListJobs", "WatchJob", "StreamLogs",
                             "CancelJob", "ListProcesses"}) {
    EXPECT_THAT(methods, Contains(method));
  }
}

TEST_F(CoordinatorApiTest, HealthSaysServing) {
  EXPECT_EQ(Call("/grpc.health.v1.Health/Check", ""), std::string("\x08\x01", 2));
  EXPECT_EQ(Http("/healthz"), "ok\n");
  EXPECT_EQ(Http("/readyz"), "ok\n");
  Http("/nothing", 404);
}

TEST_F(CoordinatorApiTest, MetricsPassPromtool) {
  AddMembers(2, 1);
  ASSERT_TRUE(Submit("job", Spec(3)).ok());
  Watch("job");
  ASSERT_TRUE(Submit("waiting", Spec(3)).ok());
  const std::string text = Http("/metrics");
  for (const char* name : {"rally_jobs{phase=\"succeeded\"} 1", "rally_members{role=\"model\"",
                           "rally_steps_committed_total 3", "rally_planning_seconds_bucket",
                           "rally_attention_bytes_total 900", "rally_rpc_requests_total{"}) {
    EXPECT_THAT(text, HasSubstr(name));
  }
  std::ofstream(Directory("metrics.txt")) << text;
  Program promtool({"promtool", "check", "metrics"}, Directory("promtool.txt"),
                   Directory("metrics.txt"));
  if (!promtool.started()) GTEST_SKIP() << "promtool is not installed";
  EXPECT_EQ(promtool.Wait(Deadline()), 0) << promtool.Output();
  EXPECT_EQ(promtool.Output(), "");
}

}  // namespace
}  // namespace rally
