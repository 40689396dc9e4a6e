#include "services/coordinator/authenticator.h"

#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "services/coordinator/grpc_status.h"
#include "services/coordinator/permissions.h"

namespace rally {
namespace {

absl::StatusOr<std::shared_ptr<const TokenTable>> MakeTable(const std::string& text) {
  RALLY_ASSIGN_OR_RETURN(TokenTable table, TokenTable::Parse(text));
  return std::make_shared<const TokenTable>(std::move(table));
}

// "Bearer TOKEN", the scheme in any case, as RFC 6750 and RFC 9110 have it.
std::optional<absl::string_view> BearerToken(const std::optional<std::string>& authorization) {
  constexpr absl::string_view kScheme = "bearer ";
  if (!authorization.has_value() || !absl::StartsWithIgnoreCase(*authorization, kScheme)) {
    return std::nullopt;
  }
  return absl::StripAsciiWhitespace(absl::string_view(*authorization).substr(kScheme.size()));
}

class CallGuard final : public grpc::AuthMetadataProcessor {
 public:
  explicit CallGuard(std::shared_ptr<Authenticator> authenticator)
      : authenticator_(std::move(authenticator)) {}

  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context,
                       OutputMetadata* consumed, OutputMetadata* /*response*/) override {
    CallIdentity identity;
    identity.certificate = context->IsPeerAuthenticated();
    if (metadata.count("authorization") == 1) {
      const grpc::string_ref value = metadata.find("authorization")->second;
      identity.authorization = std::string(value.data(), value.size());
      // No service sees a token.
      consumed->emplace("authorization", *identity.authorization);
    }
    const auto path = metadata.find(":path");
    const absl::string_view method =
        path == metadata.end() ? absl::string_view()
                               : absl::string_view(path->second.data(), path->second.size());
    return ToGrpc(authenticator_->Check(identity, method));
  }

 private:
  const std::shared_ptr<Authenticator> authenticator_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Authenticator>> Authenticator::Create(const std::string& token_file,
                                                                     bool certificates,
                                                                     CoordinatorMetrics* metrics) {
  std::unique_ptr<TokenReloader> tokens;
  if (!token_file.empty()) {
    const std::string what = absl::StrCat("--token-file: ", token_file);
    absl::StatusOr<std::unique_ptr<TokenReloader>> loaded = TokenReloader::Load(
        what, [token_file] { return ReadFile(token_file); }, MakeTable);
    if (!loaded.ok()) return Annotate(loaded.status(), what);
    tokens = *std::move(loaded);
  }
  return std::shared_ptr<Authenticator>(
      new Authenticator(std::move(tokens), certificates, metrics));
}

absl::Status Authenticator::Check(const CallIdentity& identity, absl::string_view method) {
  absl::Status status = Decide(identity, method);
  if (!status.ok()) {
    // What is not in the table shares one series, so that callers cannot make more of them.
    metrics_.CountRefusal(IsKnown(method) ? std::string(method) : "other", status.code());
  }
  return status;
}

absl::Status Authenticator::Decide(const CallIdentity& identity, absl::string_view method) {
  if (certificates_ && !identity.certificate) {
    return absl::UnauthenticatedError(
        "a client certificate is needed; give --tls-cert and --tls-key");
  }
  if (tokens_ == nullptr) return absl::OkStatus();
  const std::optional<absl::string_view> token = BearerToken(identity.authorization);
  if (!token.has_value()) {
    return absl::UnauthenticatedError("a bearer token is needed; give --token-file");
  }
  const std::shared_ptr<const TokenTable> table = tokens_->Get();
  const Caller* caller = table->Find(*token);
  if (caller == nullptr) return absl::UnauthenticatedError("the token is not a valid one");
  if (MayCall(caller->role, method)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the token of ", caller->name, " has the role ",
                                                  RoleName(caller->role), ", which may not call ",
                                                  IsKnown(method) ? method : "this method"));
}

std::shared_ptr<grpc::AuthMetadataProcessor> MakeCallGuard(
    std::shared_ptr<Authenticator> authenticator) {
  return std::make_shared<CallGuard>(std::move(authenticator));
}

}  // namespace rally
