#include "services/coordinator/http_front_end.h"

#include <string>
#include <thread>
#include <utility>

#include <httplib.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr int kThreads = 4;
constexpr int kTimeoutSeconds = 5;

// httplib's own options allow two servers on one port.
void SetSocketOptions(socket_t socket) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

class HttplibFrontEnd final : public HttpFrontEnd {
 public:
  HttplibFrontEnd(CoordinatorMetrics* metrics, std::function<absl::Status()> ready)
      : metrics_(metrics), ready_(std::move(ready)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_socket_options(SetSocketOptions);
    server_.set_read_timeout(kTimeoutSeconds);
    server_.set_write_timeout(kTimeoutSeconds);
    server_.set_keep_alive_timeout(kTimeoutSeconds);
    server_.set_payload_max_length(1 << 16);
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics_->Text(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const absl::Status status = ready_();
      response.status = status.ok() ? 200 : 503;
      response.set_content(status.ok() ? "ok\n" : std::string(status.message()) + "\n",
                           "text/plain");
    });
    server_.set_logger([this](const httplib::Request& request, const httplib::Response& response) {
      // Paths that are not served share one series, however they were refused.
      const bool served =
          request.path == "/metrics" || request.path == "/healthz" || request.path == "/readyz";
      metrics_->CountHttp(served ? request.path : "other", response.status);
    });
  }

  ~HttplibFrontEnd() override {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const ListenAddress& address) {
    RALLY_RETURN_IF_ERROR(ProbeListen(address));
    address_ = address;
    if (address.port == 0) {
      address_.port = server_.bind_to_any_port(address.host.c_str());
    } else if (!server_.bind_to_port(address.host.c_str(), address.port)) {
      address_.port = -1;
    }
    if (address_.port <= 0) {
      return absl::UnavailableError("cannot listen on " + address.ToString());
    }
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // Once it has answered it runs, and can be stopped.
    httplib::Client client(address_.host, address_.port);
    client.set_connection_timeout(kTimeoutSeconds);
    if (client.Get("/healthz")) return absl::OkStatus();
    return absl::InternalError("the HTTP front end does not answer on " + address_.ToString());
  }

  const ListenAddress& address() const override { return address_; }

 private:
  CoordinatorMetrics* const metrics_;
  const std::function<absl::Status()> ready_;
  httplib::Server server_;
  ListenAddress address_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpFrontEnd>> HttpFrontEnd::Start(
    const ListenAddress& address, CoordinatorMetrics* metrics,
    std::function<absl::Status()> ready) {
  auto front_end = std::make_unique<HttplibFrontEnd>(metrics, std::move(ready));
  RALLY_RETURN_IF_ERROR(front_end->Listen(address));
  return std::unique_ptr<HttpFrontEnd>(std::move(front_end));
}

}  // namespace rally
