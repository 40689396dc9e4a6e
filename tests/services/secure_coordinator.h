// SecureCoordinator: a real coordinator with TLS, client certificates and a token for every role,
// and clients that show what they like.
#ifndef RALLY_TESTS_SERVICES_SECURE_COORDINATOR_H_
#define RALLY_TESTS_SERVICES_SECURE_COORDINATOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "proto/credentials.h"
#include "services/coordinator/coordinator.h"
#include "tests/services/test_certificates.h"

namespace rally {

// The token that a role has at first.
std::string TokenOf(const std::string& role);
// A line of a token file.
std::string TokenLine(const std::string& name, const std::string& role, const std::string& token);

// Asks until it is so, for at most half a minute.
bool Eventually(const std::function<bool()>& condition);

class SecureCoordinator : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string In(const std::string& name) const { return directory_ + "/" + name; }
  CoordinatorOptions Options(const std::string& data_directory) const;

  // A channel of a client with these files, and the token unless it is empty.
  std::shared_ptr<grpc::Channel> Channel(const TlsFiles& files, const std::string& token);
  std::shared_ptr<grpc::Channel> Connect(
      const std::shared_ptr<grpc::ChannelCredentials>& credentials);

  // One call of any method, in bytes. A stream is left after its first answer: then it was let in.
  grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                    const std::string& request = "", std::string* answer = nullptr,
                    const std::string& authorization = "");
  // Every method of every service that the server says it has.
  std::vector<std::string> Methods();

  // The code of a page; 0 without a connection.
  int Http(const std::string& path, const TlsFiles& files, const std::string& authorization,
           std::string* body = nullptr);

  TlsFiles WithoutCertificate() const { return {client_.ca, "", ""}; }

  std::string directory_;
  std::unique_ptr<TestCertificates> certificates_;  // Authorities "ca" and "other-ca".
  TlsFiles server_;
  TlsFiles client_;
  std::unique_ptr<Coordinator> coordinator_;
};

}  // namespace rally

#endif  // RALLY_TESTS_SERVICES_SECURE_COORDINATOR_H_
