// Credentials: how the two ends of a gRPC connection prove who they are.
//
// A coordinator proves itself by a certificate. A client proves itself by a bearer token, which
// gRPC sends over TLS only, and by a certificate of its own where the coordinator asks for one.
// All files are PEM but the token's, which holds nothing but the token.
//
// Files are looked at every kReloadInterval for as long as the credentials live: new connections
// use what is in them then, and a token is read for every call. So certificates and tokens change
// without a restart. Certificate and key are two files: for an interval they may not match, and
// new connections fail until they do.
//
// Any thread.
#ifndef RALLY_PROTO_CREDENTIALS_H_
#define RALLY_PROTO_CREDENTIALS_H_

#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

namespace rally {

inline constexpr absl::Duration kReloadInterval = absl::Seconds(1);

// Paths; flags of the same name set them, and errors name those flags.
struct TlsFiles {
  std::string ca;    // --tls-ca: whom the other end's certificate must come from.
  std::string cert;  // --tls-cert: the own certificate, with what lies between it and its root.
  std::string key;   // --tls-key: the private key of `cert`.

  friend bool operator==(const TlsFiles&, const TlsFiles&) = default;
};

struct ClientSecurity {
  TlsFiles tls;            // Without `ca` the connection is not encrypted.
  std::string token_file;  // --token-file; empty: no token. Needs TLS.
};

// What has been read of TlsFiles; empty where there is no file.
struct TlsTexts {
  std::string ca;
  std::string cert;
  std::string key;

  friend bool operator==(const TlsTexts&, const TlsTexts&) = default;
};

// Reads the files and checks that they are certificates and the key of one. InvalidArgument or the
// system's error, naming the flag and the file; never a word of what is in them.
absl::StatusOr<TlsTexts> ReadTlsFiles(const TlsFiles& files);

// A token of 16 to 4096 printable characters; blanks and line breaks around it do not count.
// InvalidArgument or the system's error, naming the file.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

// Checks every file once. Errors as above, or InvalidArgument for flags that need another one.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const ClientSecurity& security);

// Of a server that shows `files.cert`. With `files.ca` a client may show a certificate too, which
// must then come from there: whether one was shown is the call's own check, so that a client
// without one is told what it lacks. Errors as above.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files);

}  // namespace rally

#endif  // RALLY_PROTO_CREDENTIALS_H_
