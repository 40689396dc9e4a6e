#include "services/coordinator/security_options.h"

#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace rally {

absl::Status CheckExposure(const SecurityOptions& security, const ListenAddress& grpc,
                           const ListenAddress& http) {
  if (!security.token_file.empty() && security.tls.cert.empty()) {
    return absl::InvalidArgumentError(
        "--token-file: needs --tls-cert and --tls-key, since a token must not travel in clear");
  }
  if (security.insecure || (grpc.loopback() && http.loopback())) return absl::OkStatus();
  std::vector<std::string> missing;
  if (security.tls.cert.empty()) missing.push_back("--tls-cert and --tls-key (TLS)");
  if (security.token_file.empty()) missing.push_back("--token-file (who may call)");
  if (security.data_roots.empty()) missing.push_back("--data-root (where jobs may read and write)");
  if (missing.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      grpc.loopback() ? "--http: " : "--listen: ", (grpc.loopback() ? http : grpc).ToString(),
      " can be reached from other machines, so whoever is there could run jobs here; it needs ",
      absl::StrJoin(missing, ", "),
      ". Give these, or listen on 127.0.0.1, or give --insecure where the network alone decides "
      "who gets here"));
}

absl::Status CheckLimit(absl::string_view flag, absl::string_view what, int64_t count,
                        int64_t limit) {
  if (count <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(flag, ": ", what, " would be ", count, ", the coordinator's limit is ", limit));
}

}  // namespace rally
