#include "services/coordinator/http_front_end.h"

#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include <httplib.h>

#include "common/check.h"
#include "common/status_macros.h"
#include "services/coordinator/http_connection.h"
#include "services/coordinator/http_threads.h"
#include "services/coordinator/http_tls.h"

namespace rally {
namespace {

constexpr int kThreads = 64;
constexpr int kAnswerSeconds = 5;
constexpr int kDeferSeconds = 10;
constexpr int kBacklog = 1024;

// httplib's own options allow two servers on one port. Who connects and says nothing stays in the
// kernel for kDeferSeconds or a little more, where he costs no descriptor and no thread.
void SetSocketOptions(socket_t socket) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(socket, IPPROTO_TCP, TCP_DEFER_ACCEPT, &kDeferSeconds, sizeof(kDeferSeconds));
}

// httplib's server with connections of our own, which end in time: each serves one request.
class PageServer final : public httplib::Server {
 public:
  // `tls` is borrowed and may be null.
  explicit PageServer(HttpTls* tls) : tls_(tls), stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    RALLY_CHECK(stop_fd_ >= 0, std::strerror(errno));
    new_task_queue = [] { return new HttpThreads(kThreads); };
    set_socket_options(SetSocketOptions);
  }
  ~PageServer() override { close(stop_fd_); }

  // The port, or -1.
  int Bind(const ListenAddress& address) {
    int port = address.port;
    if (port == 0) {
      port = bind_to_any_port(address.host);
    } else if (!bind_to_port(address.host, port)) {
      port = -1;
    }
    // Again, since httplib's own queue has room for five.
    if (port > 0 && ::listen(svr_sock_, kBacklog) != 0) port = -1;
    return port;
  }

  // Ends listen_after_bind, once connections that wait for their callers have given up.
  void Stop() {
    const uint64_t one = 1;
    RALLY_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one), std::strerror(errno));
    stop();
  }

 private:
  bool process_and_close_socket(socket_t socket) override {
    HttpConnection connection(socket, tls_, stop_fd_);
    if (!connection.Open()) return false;
    bool closed = false;
    return process_request(connection, /*close_connection=*/true, closed,
                           [&](httplib::Request& request) { request.ssl = connection.tls(); });
  }

  HttpTls* const tls_;
  const int stop_fd_;  // An event counter, which connections poll.
};

class HttplibFrontEnd final : public HttpFrontEnd {
 public:
  // `tls` may be null: plain HTTP, and nothing is asked of a caller.
  HttplibFrontEnd(std::unique_ptr<HttpTls> tls, std::shared_ptr<Authenticator> authenticator,
                  CoordinatorMetrics* metrics, std::function<absl::Status()> ready)
      : tls_(std::move(tls)),
        authenticator_(std::move(authenticator)),
        metrics_(metrics),
        ready_(std::move(ready)),
        server_(tls_.get()) {
    server_.set_payload_max_length(1 << 16);
    if (tls_ != nullptr) {
      server_.set_pre_routing_handler(
          [this](const httplib::Request& request, httplib::Response& response) {
            return Guard(request, &response);
          });
    }
    AddPages();
  }

  ~HttplibFrontEnd() override {
    server_.Stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const ListenAddress& address) {
    RALLY_RETURN_IF_ERROR(ProbeListen(address));
    address_ = {address.host, server_.Bind(address)};
    if (address_.port <= 0) {
      return absl::UnavailableError("cannot listen on " + address.ToString());
    }
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // Once it has answered it runs, and can be stopped.
    if (Answers()) {
      started_ = true;
      return absl::OkStatus();
    }
    return absl::InternalError("the HTTP front end does not answer on " + address_.ToString());
  }

  const ListenAddress& address() const override { return address_; }

 private:
  // Whether anything at all is answered, a refusal included.
  bool Answers() const {
    const std::unique_ptr<httplib::ClientImpl> client =
        tls_ != nullptr ? std::make_unique<httplib::SSLClient>(address_.host, address_.port)
                        : std::make_unique<httplib::ClientImpl>(address_.host, address_.port);
    client->set_connection_timeout(kAnswerSeconds);
    client->enable_server_certificate_verification(false);  // Nothing is told to it.
    return static_cast<bool>(client->Get("/healthz"));
  }

  // Before every page.
  httplib::Server::HandlerResponse Guard(const httplib::Request& request,
                                         httplib::Response* response) {
    if (!started_) {
      response->status = 503;
      return httplib::Server::HandlerResponse::Handled;
    }
    CallIdentity identity;
    identity.certificate = HttpTls::HasCertificate(request.ssl);
    if (request.get_header_value_count("Authorization") == 1) {
      identity.authorization = request.get_header_value("Authorization");
    }
    const absl::Status status = authenticator_->Check(identity, request.path);
    if (status.ok()) return httplib::Server::HandlerResponse::Unhandled;
    response->status = absl::IsUnauthenticated(status) ? 401 : 403;
    if (response->status == 401) response->set_header("WWW-Authenticate", "Bearer");
    response->set_content(std::string(status.message()) + "\n", "text/plain");
    return httplib::Server::HandlerResponse::Handled;
  }

  void AddPages() {
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

  const std::unique_ptr<HttpTls> tls_;
  const std::shared_ptr<Authenticator> authenticator_;
  CoordinatorMetrics* const metrics_;
  const std::function<absl::Status()> ready_;
  PageServer server_;
  ListenAddress address_;
  std::atomic<bool> started_{false};
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpFrontEnd>> HttpFrontEnd::Start(
    const ListenAddress& address, const TlsFiles& tls, std::shared_ptr<Authenticator> authenticator,
    CoordinatorMetrics* metrics, std::function<absl::Status()> ready) {
  std::unique_ptr<HttpTls> https;
  if (!tls.cert.empty()) {
    RALLY_ASSIGN_OR_RETURN(https, HttpTls::Create(tls));
  }
  auto front_end = std::make_unique<HttplibFrontEnd>(std::move(https), std::move(authenticator),
                                                     metrics, std::move(ready));
  RALLY_RETURN_IF_ERROR(front_end->Listen(address));
  return std::unique_ptr<HttpFrontEnd>(std::move(front_end));
}

}  // namespace rally
