// HttpTls: the TLS side of an HTTPS server, with certificates that change while it serves.
//
// Every session uses the files' newest contents that make sense (reloader.h). With a CA a client
// may show a certificate, which must then come from there; see HasCertificate.
//
// Thread-safe.
#ifndef RALLY_SERVICES_COORDINATOR_HTTP_TLS_H_
#define RALLY_SERVICES_COORDINATOR_HTTP_TLS_H_

#include <memory>
#include <utility>

#include <absl/status/statusor.h>
#include <openssl/ssl.h>

#include "proto/credentials.h"
#include "services/coordinator/reloader.h"

namespace rally {

class HttpTls {
 public:
  // Errors of ReadTlsFiles; InvalidArgument without a certificate.
  static absl::StatusOr<std::unique_ptr<HttpTls>> Create(const TlsFiles& files);

  struct FreeSession {
    void operator()(SSL* session) const { SSL_free(session); }
  };
  using Session = std::unique_ptr<SSL, FreeSession>;

  // The server's side of a connection, before the handshake. Null when OpenSSL has no memory.
  Session NewSession();

  // Whether the client of a finished handshake has shown a certificate that was verified.
  static bool HasCertificate(const SSL* connection);

 private:
  using ContextReloader = Reloader<TlsTexts, SSL_CTX>;

  explicit HttpTls(std::unique_ptr<ContextReloader> contexts) : contexts_(std::move(contexts)) {}

  const std::unique_ptr<ContextReloader> contexts_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_HTTP_TLS_H_
