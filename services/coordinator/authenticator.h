// Authenticator: decides for every call of the coordinator, gRPC or HTTP, whether it may be made.
//
// A call must show what is configured: a certificate that the handshake has verified, a bearer
// token that is in the token file (token_table.h), or both; the token's role must allow the method
// (permissions.h). Without a token file there are no roles, and whoever has the certificate may
// call everything. The token file is followed while the coordinator runs.
//
// Streams are checked when they begin: one that is open outlives its token.
//
// Thread-safe.
#ifndef RALLY_SERVICES_COORDINATOR_AUTHENTICATOR_H_
#define RALLY_SERVICES_COORDINATOR_AUTHENTICATOR_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/reloader.h"
#include "services/coordinator/token_table.h"

namespace rally {

// What a call shows of its caller.
struct CallIdentity {
  bool certificate = false;  // Verified.
  // Value of the header "authorization", which is a secret; none when it came more than once.
  std::optional<std::string> authorization;
};

class Authenticator {
 public:
  // `token_file` may be empty. `metrics` is borrowed. Errors of the token file name --token-file.
  static absl::StatusOr<std::shared_ptr<Authenticator>> Create(const std::string& token_file,
                                                               bool certificates,
                                                               CoordinatorMetrics* metrics);

  // OK, Unauthenticated, or PermissionDenied when the caller is known but its role is too little.
  // Refused calls are counted.
  absl::Status Check(const CallIdentity& identity, absl::string_view method);

 private:
  using TokenReloader = Reloader<std::string, const TokenTable>;

  Authenticator(std::unique_ptr<TokenReloader> tokens, bool certificates,
                CoordinatorMetrics* metrics)
      : tokens_(std::move(tokens)), certificates_(certificates), metrics_(*metrics) {}

  absl::Status Decide(const CallIdentity& identity, absl::string_view method);

  const std::unique_ptr<TokenReloader> tokens_;  // Null: no token is asked for.
  const bool certificates_;
  CoordinatorMetrics& metrics_;
};

// Puts the authenticator before every method of a gRPC server, whatever service it is of.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeCallGuard(
    std::shared_ptr<Authenticator> authenticator);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_AUTHENTICATOR_H_
