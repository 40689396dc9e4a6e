// FollowStream: sends a client everything after a cursor, then what is new as it comes.
//
// A gRPC server stream (callback API, no thread of its own). It reads pages from the store and
// waits on the change feed between them, so it holds at most one page whatever the client's speed,
// and sends each message once, in order. Deletes itself when gRPC is done with it. Feed and
// functions must outlive it: the server is shut down before them.
#ifndef RALLY_SERVICES_COORDINATOR_FOLLOW_STREAM_H_
#define RALLY_SERVICES_COORDINATOR_FOLLOW_STREAM_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/grpcpp.h>

#include "services/coordinator/change_feed.h"
#include "services/coordinator/grpc_status.h"

namespace rally {

template <typename Message>
class FollowStream final : public grpc::ServerWriteReactor<Message> {
 public:
  struct Source {
    std::string job_id;
    int64_t after = 0;  // Cursor: a message's sequence.
    // At most one page of messages after a sequence.
    std::function<absl::StatusOr<std::vector<Message>>(int64_t after)> read;
    // Asked before a read: true when that read's messages are the last.
    std::function<bool()> ended;
    std::function<void(grpc::StatusCode)> done;  // Called once.
  };

  FollowStream(Source source, ChangeFeed* feed) : source_(std::move(source)), feed_(feed) {
    subscription_ = feed_->Subscribe(source_.job_id, [this] { OnChange(); });
    OnChange();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
    page_.pop_front();
    Pump();
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      if (busy_) return;  // Whoever is busy will see it.
      busy_ = true;
    }
    End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
  }

  void OnDone() override {
    feed_->Unsubscribe(source_.job_id, subscription_);
    delete this;
  }

 private:
  void OnChange() {
    {
      absl::MutexLock lock(&mutex_);
      changed_ = true;
      if (busy_) return;
      busy_ = true;
    }
    Pump();
  }

  // Starts a write, ends the stream or goes idle. Only whoever set busy_ calls it.
  void Pump() {
    while (page_.empty()) {
      {
        absl::MutexLock lock(&mutex_);
        changed_ = false;
      }
      const bool last = source_.ended();
      absl::StatusOr<std::vector<Message>> page = source_.read(source_.after);
      if (!page.ok()) return End(ToGrpc(page.status()));
      page_.assign(page->begin(), page->end());
      if (!page_.empty()) break;
      if (last) return End(grpc::Status::OK);
      absl::MutexLock lock(&mutex_);
      if (!changed_ && !cancelled_) {
        busy_ = false;
        return;
      }
      if (cancelled_) break;
    }
    if (page_.empty()) return End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
    source_.after = page_.front().sequence();
    this->StartWrite(&page_.front());
  }

  void End(const grpc::Status& status) {
    source_.done(status.error_code());
    this->Finish(status);  // busy_ stays set: nothing follows but OnDone.
  }

  Source source_;
  ChangeFeed* const feed_;
  ChangeFeed::SubscriptionId subscription_ = 0;
  std::deque<Message> page_;  // Whoever set busy_ owns it.

  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_FOLLOW_STREAM_H_
