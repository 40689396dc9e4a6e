// HttpFrontEnd: /metrics, /healthz and /readyz over HTTP or HTTPS, for Prometheus and Kubernetes.
//
//   GET /metrics   200, the Prometheus text format
//   GET /healthz   200 "ok" while the process serves
//   GET /readyz    200 "ok" once jobs can be taken, else 503 with the reason
// Anything else is 404. Over HTTPS every page, also one that is not there, needs what the
// authenticator asks for: else 401, or 403 when the caller is known. A connection serves one
// request and ends in time (http_connection.h); 64 are served at once, and the kernel keeps those
// that wait.
#ifndef RALLY_SERVICES_COORDINATOR_HTTP_FRONT_END_H_
#define RALLY_SERVICES_COORDINATOR_HTTP_FRONT_END_H_

#include <functional>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "proto/credentials.h"
#include "services/coordinator/authenticator.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/listen_address.h"

namespace rally {

class HttpFrontEnd {
 public:
  virtual ~HttpFrontEnd() = default;  // Stops serving.

  // Serves on threads of its own, without TLS when `tls` has no certificate. `ready` is called on
  // them; `metrics` is borrowed. Unavailable when the address cannot be listened on; errors of
  // HttpTls::Create.
  static absl::StatusOr<std::unique_ptr<HttpFrontEnd>> Start(
      const ListenAddress& address, const TlsFiles& tls,
      std::shared_ptr<Authenticator> authenticator, CoordinatorMetrics* metrics,
      std::function<absl::Status()> ready);

  // With the port that was taken.
  virtual const ListenAddress& address() const = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_HTTP_FRONT_END_H_
