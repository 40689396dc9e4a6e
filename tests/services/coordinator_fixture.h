// CoordinatorFixture: a real coordinator on free loopback ports, a small dataset, and calls to it.
#ifndef RALLY_TESTS_SERVICES_COORDINATOR_FIXTURE_H_
#define RALLY_TESTS_SERVICES_COORDINATOR_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "rally/v1/jobs.grpc.pb.h"
#include "services/coordinator/coordinator.h"
#include "tests/services/scripted_member.h"

namespace rally {

class CoordinatorFixture : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void StartCoordinator();
  void StopCoordinator() { coordinator_.reset(); }

  ScriptedMember* AddMember(Script script);
  // `workers` model workers and `servers` attention servers, without faults.
  void AddMembers(int workers, int servers);
  void ExpectNoViolations();

  // A job of two workers and one attention server, `steps` steps, that passes validation.
  v1::JobSpec Spec(int64_t steps) const;

  grpc::Status Submit(const std::string& job_id, const v1::JobSpec& spec, v1::Job* job = nullptr);
  v1::Job Get(const std::string& job_id);
  // Every event after a sequence until the stream ends by itself.
  std::vector<v1::JobEvent> Watch(const std::string& job_id, int64_t after = 0);
  // Returns when the step is committed.
  void WaitForStep(const std::string& job_id, int64_t step);

  absl::Time Deadline() const { return deadline_; }
  std::string Directory(const std::string& name) const { return directory_ + "/" + name; }
  std::string address() const { return coordinator_->grpc_address().ToString(); }
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  v1::JobService::Stub* jobs() { return stub_.get(); }

  CoordinatorOptions options_;
  std::unique_ptr<Coordinator> coordinator_;
  ScriptedDisk disk_;
  std::vector<std::unique_ptr<ScriptedMember>> members_;

 private:
  absl::Time deadline_;
  std::string directory_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::JobService::Stub> stub_;
};

// Writes a dataset of documents of these many tokens each, the last one included.
void WriteDataset(const std::string& directory, const std::vector<int64_t>& lengths);

}  // namespace rally

#endif  // RALLY_TESTS_SERVICES_COORDINATOR_FIXTURE_H_
