// UcxWorker: one UCP context, worker and its endpoints, with UCX's errors turned into Status.
//
// Internal to the UCX transport. All methods belong to one thread at a time (the progress thread,
// once there is one) except Signal, which any thread may call while the UcxWorker exists.
#ifndef RALLY_WORKERS_TRANSPORT_UCX_WORKER_H_
#define RALLY_WORKERS_TRANSPORT_UCX_WORKER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <absl/types/span.h>
#include <ucp/api/ucp.h>

#include "workers/transport/ucx_transport.h"

namespace rally {

class UcxWorker {
 public:
  // One message on its way. Must stay in place until it has completed or the worker is destroyed.
  class Operation {
   public:
    virtual ~Operation() = default;
    // UCX is done with the buffer. OK: the message has moved, `bytes` long if it was received.
    // InvalidArgument: the message is longer than the buffer. Unavailable: anything else. The
    // operation may be destroyed in this call, or serve anew after it.
    virtual void OnComplete(const absl::Status& status, size_t bytes) = 0;

   private:
    friend class UcxWorker;
    UcxWorker* worker_ = nullptr;
    void* request_ = nullptr;  // UCX's, while it is a pending receive.
  };

  // `on_lost_peer` is called in Progress, where UCX can tell (see ucx_transport.h).
  static absl::StatusOr<std::unique_ptr<UcxWorker>> Create(
      const UcxOptions& options, std::function<void(int32_t peer)> on_lost_peer);
  // UCX touches no buffer from here on; operations that are still pending are forgotten. After a
  // Close that was in vain UCX's own memory is abandoned, since UCX would abort the program.
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  const std::string& address() const { return address_; }
  // Makes an endpoint for each address; `self` needs none.
  absl::Status Connect(absl::Span<const std::string> addresses, int32_t self);

  // Each may complete the operation before it returns.
  void Send(int32_t peer, uint64_t tag, absl::Span<const std::byte> bytes, Operation* operation);
  void Receive(uint64_t tag, absl::Span<std::byte> bytes, Operation* operation);
  // Completes the operation at once if it is a receive that nothing has come for.
  void Cancel(Operation* operation);

  // True when something moved.
  bool Progress() { return ucp_worker_progress(worker_) != 0; }
  // Sleeps until UCX has work, Signal or `limit`, unless there is work already. Not at all when
  // `limit` is negative.
  void Sleep(absl::Duration limit);
  void Signal() { ucp_worker_signal(worker_); }
  // Brings UCX to a state in which it can be destroyed, for at most `limit`. `flush` first pushes
  // what was sent towards the peers. Operations may complete.
  void Close(bool flush, absl::Duration limit);

 private:
  struct Endpoint {
    UcxWorker* worker;
    int32_t peer;
    ucp_ep_h handle = nullptr;
  };
  UcxWorker() = default;
  absl::Status Open(const UcxOptions& options);
  // Lets messages that are on their way in arrive, so that their senders can finish.
  void DrainReceives(absl::Time deadline);
  // True once no endpoint has anything under way on this side.
  bool Settle(absl::Time deadline);
  // True once every endpoint is gone, and what it had under way with it.
  bool ForceEndpointsClosed(absl::Time deadline);
  // False when the deadline passed before the request, which is freed, was done.
  bool Await(void* request, absl::Time deadline);
  static void OnSent(void* request, ucs_status_t status, void* operation);
  static void OnReceived(void* request, ucs_status_t status, const ucp_tag_recv_info_t* info,
                         void* operation);
  static void OnEndpointError(void* endpoint, ucp_ep_h handle, ucs_status_t status);

  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  int event_descriptor_ = -1;
  bool detects_lost_peers_ = false;
  bool destroyable_ = true;
  int64_t receives_ = 0;          // Pending.
  Operation* posting_ = nullptr;  // The receive that is being posted, until it completes.
  std::string address_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;  // By peer; null for this rank.
  std::function<void(int32_t)> on_lost_peer_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_UCX_WORKER_H_
