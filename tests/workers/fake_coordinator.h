// FakeCoordinator: the coordinator's side of member sessions, driven by a test.
//
// Serves ClusterService on a free port of loopback. The test takes what members say one by one and
// says what it likes. Methods are for the test's thread.
#ifndef RALLY_TESTS_WORKERS_FAKE_COORDINATOR_H_
#define RALLY_TESTS_WORKERS_FAKE_COORDINATOR_H_

#include <memory>
#include <optional>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <grpcpp/grpcpp.h>

#include "common/bounded_queue.h"
#include "rally/v1/cluster.grpc.pb.h"

namespace rally::testing {

class FakeCoordinator final : public v1::ClusterService::Service {
 public:
  // Port 0: any free one.
  explicit FakeCoordinator(int port = 0);
  ~FakeCoordinator() override;

  std::string address() const;
  int port() const { return port_; }

  // The next message of a member, whatever it is; nothing after the deadline.
  std::optional<v1::MemberMessage> Next(absl::Duration wait = absl::Seconds(20));
  // The next one that is neither a heartbeat nor log lines.
  std::optional<v1::MemberMessage> NextAnswer(absl::Duration wait = absl::Seconds(20));

  // To the member whose session is open.
  void Say(const v1::CoordinatorMessage& message);
  void Welcome(absl::Duration heartbeat_interval);
  // Ends the open session.
  void Drop();
  // Answers later sessions with this error.
  void RefuseWith(grpc::Status status);

 private:
  using Stream = grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::MemberMessage>;
  grpc::Status Session(grpc::ServerContext* context, Stream* stream) override;

  BoundedQueue<v1::MemberMessage> messages_{10000};
  absl::Mutex mutex_;
  grpc::ServerContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace rally::testing

#endif  // RALLY_TESTS_WORKERS_FAKE_COORDINATOR_H_
