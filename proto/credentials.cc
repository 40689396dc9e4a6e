#include "proto/credentials.h"

#include <algorithm>
#include <map>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

constexpr size_t kShortestToken = 16;
constexpr size_t kLongestToken = 4096;

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using PrivateKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

Memory MemoryOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// Keys under a password are refused rather than asked for at a terminal.
int NoPassword(char*, int, int, void*) { return -1; }

Certificate FirstCertificate(const std::string& text) {
  Certificate certificate(PEM_read_bio_X509(MemoryOf(text).get(), nullptr, &NoPassword, nullptr),
                          &X509_free);
  ERR_clear_error();
  return certificate;
}

absl::Status CheckPair(const TlsFiles& files, const TlsTexts& texts) {
  const Certificate certificate = FirstCertificate(texts.cert);
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-cert: ", files.cert, " holds no PEM certificate"));
  }
  const PrivateKey key(
      PEM_read_bio_PrivateKey(MemoryOf(texts.key).get(), nullptr, &NoPassword, nullptr),
      &EVP_PKEY_free);
  const bool match = key != nullptr && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (match) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--tls-key: ", files.key,
      key == nullptr ? " holds no PEM private key without a password"
                     : absl::StrCat(" is not the private key of --tls-cert, ", files.cert)));
}

absl::Status Read(absl::string_view flag, const std::string& path, std::string* text) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> read = ReadFile(path);
  if (!read.ok()) return Annotate(read.status(), flag);
  *text = *std::move(read);
  return absl::OkStatus();
}

std::shared_ptr<FileWatcherCertificateProvider> Watch(const TlsFiles& files) {
  return std::make_shared<FileWatcherCertificateProvider>(files.key, files.cert, files.ca,
                                                          absl::ToInt64Seconds(kReloadInterval));
}

// Reads the token for every call, so that a new one counts at once.
class TokenPlugin final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenPlugin(std::string path) : path_(std::move(path)) {}

  const char* GetType() const override { return "rally-token"; }
  std::string DebugString() override { return absl::StrCat("token of ", path_); }

  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<std::string, std::string>* metadata) override {
    const absl::StatusOr<std::string> token = ReadTokenFile(path_);
    if (!token.ok()) {
      return {grpc::StatusCode::UNAVAILABLE, std::string(token.status().message())};
    }
    metadata->emplace("authorization", absl::StrCat("Bearer ", *token));
    return grpc::Status::OK;
  }

 private:
  const std::string path_;
};

}  // namespace

absl::StatusOr<TlsTexts> ReadTlsFiles(const TlsFiles& files) {
  if (files.cert.empty() != files.key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key: go together, one is missing");
  }
  TlsTexts texts;
  RALLY_RETURN_IF_ERROR(Read("--tls-ca", files.ca, &texts.ca));
  RALLY_RETURN_IF_ERROR(Read("--tls-cert", files.cert, &texts.cert));
  RALLY_RETURN_IF_ERROR(Read("--tls-key", files.key, &texts.key));
  if (!files.ca.empty() && FirstCertificate(texts.ca) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-ca: ", files.ca, " holds no PEM certificate"));
  }
  if (!files.cert.empty()) RALLY_RETURN_IF_ERROR(CheckPair(files, texts));
  return texts;
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const absl::string_view token = absl::StripAsciiWhitespace(text);
  if (token.size() >= kShortestToken && token.size() <= kLongestToken &&
      std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return std::string(token);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--token-file: ", path, " does not hold one token of ", kShortestToken, " to ",
                   kLongestToken, " printable characters without blanks"));
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const ClientSecurity& security) {
  const TlsFiles& files = security.tls;
  if (files.ca.empty()) {
    if (files == TlsFiles() && security.token_file.empty()) {
      return grpc::InsecureChannelCredentials();
    }
    return absl::InvalidArgumentError(
        "--tls-ca: is missing; --tls-cert, --tls-key and --token-file need it, since a token must "
        "not travel in clear");
  }
  RALLY_RETURN_IF_ERROR(ReadTlsFiles(files).status());
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Watch(files));
  options.watch_root_certs();
  if (!files.cert.empty()) options.watch_identity_key_cert_pairs();
  std::shared_ptr<grpc::ChannelCredentials> credentials =
      grpc::experimental::TlsCredentials(options);
  if (security.token_file.empty()) return credentials;
  RALLY_RETURN_IF_ERROR(ReadTokenFile(security.token_file).status());
  return grpc::CompositeChannelCredentials(
      credentials,
      grpc::MetadataCredentialsFromPlugin(std::make_unique<TokenPlugin>(security.token_file)));
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files) {
  if (files == TlsFiles()) return grpc::InsecureServerCredentials();
  if (files.cert.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key: --tls-ca needs them");
  }
  RALLY_RETURN_IF_ERROR(ReadTlsFiles(files).status());
  grpc::experimental::TlsServerCredentialsOptions options(Watch(files));
  options.watch_identity_key_cert_pairs();
  if (!files.ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace rally
