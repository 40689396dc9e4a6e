#include "workers/transport/ucx_worker.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/log.h"
#include "common/status_macros.h"
#include "workers/transport/ucx_log.h"

namespace rally {
namespace {

absl::Status ToStatus(ucs_status_t status) {
  switch (status) {
    case UCS_OK:
      return absl::OkStatus();
    case UCS_ERR_MESSAGE_TRUNCATED:
      return absl::InvalidArgumentError("the message is longer than the buffer");
    default:
      return absl::UnavailableError(absl::StrCat("UCX: ", ucs_status_string(status)));
  }
}

// UCX can report a lost peer on TCP, but with that switched on it refuses shared memory.
bool OnlyTcp(const std::string& transports) {
  std::vector<std::string> names = absl::StrSplit(transports, ',');
  return std::find(names.begin(), names.end(), "tcp") != names.end() &&
         std::all_of(names.begin(), names.end(),
                     [](const std::string& name) { return name == "tcp" || name == "self"; });
}

absl::StatusOr<ucp_config_t*> ReadConfig(const UcxOptions& options) {
  ucp_config_t* config = nullptr;
  RALLY_RETURN_IF_ERROR(ToStatus(ucp_config_read(nullptr, nullptr, &config)));
  ucs_status_t status = ucp_config_modify(config, "TLS", options.transports.c_str());
  if (status == UCS_OK && !options.network_devices.empty()) {
    status = ucp_config_modify(config, "NET_DEVICES", options.network_devices.c_str());
  }
  // Large messages through shared memory come in segments of this size. UCX's 8 KiB wake the other
  // side so often, where computing threads leave no core free, that a message takes five times as
  // long; beyond 64 KiB it refuses.
  if (status == UCS_OK) status = ucp_config_modify(config, "MM_SEG_SIZE", "32768");
  // UCX 1.13 loses count, and aborts, when a TCP peer is lost while it sends without copying.
  if (status == UCS_OK && OnlyTcp(options.transports)) {
    status = ucp_config_modify(config, "ZCOPY_THRESH", "inf");
  }
  // The receiver of a large message reads it, or it comes in pieces: peers never write into this
  // process, so a transport that has given up can promise that its buffers are left alone.
  if (status == UCS_OK) status = ucp_config_modify(config, "RNDV_SCHEME", "get_zcopy");
  if (status == UCS_OK) return config;
  ucp_config_release(config);
  return ToStatus(status);
}

}  // namespace

absl::StatusOr<std::unique_ptr<UcxWorker>> UcxWorker::Create(
    const UcxOptions& options, std::function<void(int32_t peer)> on_lost_peer) {
  RedirectUcxLog();
  UcxErrorListener listener;
  auto worker = std::unique_ptr<UcxWorker>(new UcxWorker);
  worker->on_lost_peer_ = std::move(on_lost_peer);
  worker->detects_lost_peers_ = OnlyTcp(options.transports);
  if (absl::Status status = worker->Open(options); !status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("UCX does not start with transports '", options.transports, "' on devices '",
                     options.network_devices, "': ", status.message(),
                     listener.last_error().empty() ? "" : "; ", listener.last_error()));
  }
  return worker;
}

absl::Status UcxWorker::Open(const UcxOptions& options) {
  ucp_config_t* config = nullptr;
  RALLY_ASSIGN_OR_RETURN(config, ReadConfig(options));
  ucp_params_t params = {};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_ESTIMATED_NUM_EPS;
  params.features = UCP_FEATURE_TAG | UCP_FEATURE_WAKEUP;
  params.estimated_num_eps = static_cast<size_t>(options.ranks);
  ucs_status_t status = ucp_init(&params, config, &context_);
  ucp_config_release(config);
  RALLY_RETURN_IF_ERROR(ToStatus(status));

  ucp_worker_params_t worker_params = {};
  worker_params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  worker_params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  RALLY_RETURN_IF_ERROR(ToStatus(ucp_worker_create(context_, &worker_params, &worker_)));
  RALLY_RETURN_IF_ERROR(ToStatus(ucp_worker_get_efd(worker_, &event_descriptor_)));

  ucp_address_t* address = nullptr;
  size_t length = 0;
  RALLY_RETURN_IF_ERROR(ToStatus(ucp_worker_get_address(worker_, &address, &length)));
  address_.assign(reinterpret_cast<const char*>(address), length);
  ucp_worker_release_address(worker_, address);
  return absl::OkStatus();
}

UcxWorker::~UcxWorker() {
  if (!destroyable_) {
    RALLY_LOG_WARN("a peer left UCX with unfinished work; its memory is abandoned");
    return;
  }
  if (worker_ != nullptr) ucp_worker_destroy(worker_);
  if (context_ != nullptr) ucp_cleanup(context_);
}

absl::Status UcxWorker::Connect(absl::Span<const std::string> addresses, int32_t self) {
  UcxErrorListener listener;
  endpoints_.resize(addresses.size());
  for (size_t peer = 0; peer < addresses.size(); ++peer) {
    if (static_cast<int32_t>(peer) == self) continue;
    endpoints_[peer] =
        std::make_unique<Endpoint>(Endpoint{this, static_cast<int32_t>(peer), nullptr});
    ucp_ep_params_t params = {};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS;
    params.address = reinterpret_cast<const ucp_address_t*>(addresses[peer].data());
    if (detects_lost_peers_) {
      params.field_mask |= UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
      params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
      params.err_handler = {&UcxWorker::OnEndpointError, endpoints_[peer].get()};
    }
    absl::Status status = ToStatus(ucp_ep_create(worker_, &params, &endpoints_[peer]->handle));
    if (!status.ok()) {
      return absl::UnavailableError(
          absl::StrCat("rank ", peer, " cannot be reached: ", status.message(),
                       listener.last_error().empty() ? "" : "; ", listener.last_error()));
    }
  }
  return absl::OkStatus();
}

void UcxWorker::Send(int32_t peer, uint64_t tag, absl::Span<const std::byte> bytes,
                     Operation* operation) {
  ucp_request_param_t param = {};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_MEMORY_TYPE;
  param.cb.send = &UcxWorker::OnSent;
  param.user_data = operation;
  param.memory_type = UCS_MEMORY_TYPE_HOST;
  void* request =
      ucp_tag_send_nbx(endpoints_[peer]->handle, bytes.data(), bytes.size(), tag, &param);
  if (!UCS_PTR_IS_PTR(request)) operation->OnComplete(ToStatus(UCS_PTR_RAW_STATUS(request)), 0);
}

void UcxWorker::Receive(uint64_t tag, absl::Span<std::byte> bytes, Operation* operation) {
  // UCX 1.13 does not say how long a message is that had come before, except to a callback: hence
  // no immediate completion. The callback may come while the call is still under way.
  ucp_request_param_t param = {};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA |
                       UCP_OP_ATTR_FIELD_MEMORY_TYPE | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  param.cb.recv = &UcxWorker::OnReceived;
  param.user_data = operation;
  param.memory_type = UCS_MEMORY_TYPE_HOST;
  operation->worker_ = this;
  posting_ = operation;
  void* request = ucp_tag_recv_nbx(worker_, bytes.data(), bytes.size(), tag, ~uint64_t{0}, &param);
  bool complete = std::exchange(posting_, nullptr) == nullptr;
  if (!UCS_PTR_IS_PTR(request)) {
    if (!complete) operation->OnComplete(ToStatus(UCS_PTR_RAW_STATUS(request)), 0);
  } else if (complete) {
    ucp_request_free(request);
  } else {
    operation->request_ = request;
    ++receives_;
  }
}

void UcxWorker::Cancel(Operation* operation) {
  if (operation->request_ != nullptr) ucp_request_cancel(worker_, operation->request_);
}

void UcxWorker::OnSent(void* request, ucs_status_t status, void* operation) {
  static_cast<Operation*>(operation)->OnComplete(ToStatus(status), 0);
  ucp_request_free(request);
}

void UcxWorker::OnReceived(void* request, ucs_status_t status, const ucp_tag_recv_info_t* info,
                           void* user_data) {
  auto* operation = static_cast<Operation*>(user_data);
  UcxWorker* worker = operation->worker_;
  bool posting = worker->posting_ == operation;
  if (posting) worker->posting_ = nullptr;  // Receive frees the request.
  operation->request_ = nullptr;
  operation->OnComplete(ToStatus(status), info->length);
  if (posting) return;
  ucp_request_free(request);
  --worker->receives_;
}

void UcxWorker::OnEndpointError(void* endpoint, ucp_ep_h /*handle*/, ucs_status_t /*status*/) {
  auto* lost = static_cast<Endpoint*>(endpoint);
  lost->worker->on_lost_peer_(lost->peer);
}

void UcxWorker::Sleep(absl::Duration limit) {
  if (ucp_worker_arm(worker_) != UCS_OK) return;  // Busy: something came meanwhile.
  pollfd descriptor = {event_descriptor_, POLLIN, 0};
  // A limit that has passed meanwhile must not become negative: poll would wait for ever.
  poll(&descriptor, 1, static_cast<int>(std::max<int64_t>(absl::ToInt64Milliseconds(limit), 0)));
}

void UcxWorker::Close(bool flush, absl::Duration limit) {
  absl::Time deadline = absl::Now() + limit;
  if (!detects_lost_peers_) {
    DrainReceives(deadline - limit / 2);
    destroyable_ = Settle(deadline);
    return;
  }
  if (flush) (void)Settle(deadline);
  destroyable_ = ForceEndpointsClosed(absl::Now() + limit);
}

void UcxWorker::DrainReceives(absl::Time deadline) {
  while (receives_ > 0 && absl::Now() < deadline) {
    if (!Progress()) Sleep(deadline - absl::Now());
  }
}

bool UcxWorker::Settle(absl::Time deadline) {
  // Settled means that all flushes are done at once: nothing can begin without progress.
  bool settled = false;
  while (!settled) {
    while (Progress()) {
      if (absl::Now() > deadline) return false;
    }
    settled = true;
    for (const auto& endpoint : endpoints_) {
      if (endpoint == nullptr || endpoint->handle == nullptr) continue;
      ucp_request_param_t param = {};
      void* request = ucp_ep_flush_nbx(endpoint->handle, &param);
      if (!UCS_PTR_IS_PTR(request)) continue;
      settled = false;
      if (!Await(request, deadline)) return false;
    }
  }
  return true;
}

bool UcxWorker::ForceEndpointsClosed(absl::Time deadline) {
  std::vector<void*> requests;
  for (const auto& endpoint : endpoints_) {
    if (endpoint == nullptr || endpoint->handle == nullptr) continue;
    ucp_request_param_t param = {};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    void* request = ucp_ep_close_nbx(endpoint->handle, &param);
    endpoint->handle = nullptr;
    if (UCS_PTR_IS_PTR(request)) requests.push_back(request);
  }
  bool closed = true;
  for (void* request : requests) closed = Await(request, deadline) && closed;
  return closed;
}

bool UcxWorker::Await(void* request, absl::Time deadline) {
  bool done = false;
  while (!(done = ucp_request_check_status(request) != UCS_INPROGRESS) && absl::Now() < deadline) {
    if (!Progress()) Sleep(deadline - absl::Now());
  }
  ucp_request_free(request);
  return done;
}

}  // namespace rally
