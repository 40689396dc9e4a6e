// Who gets into a coordinator with TLS, client certificates and tokens, and how far.
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "common/atomic_file.h"
#include "services/coordinator/permissions.h"
#include "tests/services/secure_coordinator.h"

namespace rally {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;
using testing::Not;

class CoordinatorSecurityTest : public SecureCoordinator {};

TEST_F(CoordinatorSecurityTest, NoCallPassesWithoutCertificateAndToken) {
  std::vector<std::string> methods = Methods();
  EXPECT_GE(methods.size(), 10u);
  for (const std::string& method : methods) {
    EXPECT_TRUE(IsKnown(method)) << method << " is not in the table of permissions";
  }
  methods.push_back("/rally.v1.JobService/NoSuchMethod");
  methods.push_back("/no.such.Service/Method");
  certificates_->Issue("stranger", "other-ca", "ca");
  const TlsFiles stranger = {client_.ca, In("stranger.pem"), In("stranger.key")};
  const auto no_token = Channel(client_, "");
  const auto wrong_token = Channel(client_, "wrong-token-0123456789abcdef");
  const auto no_certificate = Channel(WithoutCertificate(), TokenOf("admin"));
  const auto wrong_certificate = Channel(stranger, TokenOf("admin"));
  const auto no_tls = Connect(grpc::InsecureChannelCredentials());
  for (const std::string& method : methods) {
    for (const auto& channel : {no_token, wrong_token}) {
      EXPECT_EQ(Call(channel, method).error_code(), StatusCode::UNAUTHENTICATED) << method;
    }
    // All that may be wrong with a token's header.
    for (const std::string& authorization :
         {std::string("Bearer"), std::string("Bearer "), "Basic " + TokenOf("admin"),
          TokenOf("admin"), "Bearer x" + TokenOf("admin"), "Bearer " + TokenOf("admin") + "x"}) {
      EXPECT_EQ(Call(no_token, method, "", nullptr, authorization).error_code(),
                StatusCode::UNAUTHENTICATED)
          << method << " " << authorization;
    }
    const grpc::Status bare = Call(no_certificate, method);
    EXPECT_EQ(bare.error_code(), StatusCode::UNAUTHENTICATED) << method;
    EXPECT_THAT(bare.error_message(), HasSubstr("client certificate"));
  }
  // These do not even get a connection.
  for (const auto& channel : {wrong_certificate, no_tls}) {
    EXPECT_EQ(Call(channel, methods[0]).error_code(), StatusCode::UNAVAILABLE);
  }
  // Two tokens are none.
  EXPECT_EQ(Call(Channel(client_, TokenOf("admin")), "/rally.v1.JobService/ListJobs", "", nullptr,
                 "Bearer " + TokenOf("admin"))
                .error_code(),
            StatusCode::UNAUTHENTICATED);
}

TEST_F(CoordinatorSecurityTest, NoPageIsServedWithoutCertificateAndToken) {
  const std::string admin = "Bearer " + TokenOf("admin");
  for (const char* page : {"/metrics", "/healthz", "/readyz", "/nothing", "/", "//metrics"}) {
    EXPECT_EQ(Http(page, client_, ""), 401) << page;
    EXPECT_EQ(Http(page, client_, "Bearer wrong-token-0123456789abcdef"), 401) << page;
    EXPECT_EQ(Http(page, client_, "Basic " + TokenOf("admin")), 401) << page;
    EXPECT_EQ(Http(page, WithoutCertificate(), admin), 401) << page;
  }
  certificates_->Issue("stranger", "other-ca", "ca");
  EXPECT_EQ(Http("/healthz", {client_.ca, In("stranger.pem"), In("stranger.key")}, admin), 0);
  httplib::Client plain("127.0.0.1", coordinator_->http_address().port);
  EXPECT_FALSE(plain.Get("/healthz"));

  std::string text;
  EXPECT_EQ(Http("/metrics", client_, "Bearer " + TokenOf("viewer"), &text), 200);
  EXPECT_THAT(text, HasSubstr("rally_calls_refused_total{code=\"UNAUTHENTICATED\""));
  for (const char* role : {"viewer", "submitter", "admin", "member"}) {
    EXPECT_THAT(text, Not(HasSubstr(TokenOf(role))));
    EXPECT_EQ(Http("/healthz", client_, "bearer " + TokenOf(role)), 200) << role;
    EXPECT_EQ(Http("/readyz", client_, "Bearer  " + TokenOf(role)), 200) << role;
  }
  EXPECT_EQ(Http("/metrics", client_, "Bearer " + TokenOf("member")), 403);
  EXPECT_EQ(Http("/nothing", client_, admin), 403);
}

TEST_F(CoordinatorSecurityTest, ARoleMayDoItsOwn) {
  const struct {
    const char* role;
    std::vector<std::string> allowed;
  } cases[] = {
      {"viewer", {"GetJob", "ListJobs", "WatchJob", "StreamLogs"}},
      {"submitter", {"GetJob", "ListJobs", "WatchJob", "StreamLogs", "SubmitJob", "CancelJob"}},
      {"admin",
       {"GetJob", "ListJobs", "WatchJob", "StreamLogs", "SubmitJob", "CancelJob", "ListProcesses",
        "ServerReflectionInfo"}},
      {"member", {"Session"}},
  };
  const std::vector<std::string> methods = Methods();
  for (const auto& test : cases) {
    const auto channel = Channel(client_, TokenOf(test.role));
    for (const std::string& method : methods) {
      const bool allowed =
          absl::StartsWith(method, "/grpc.health.") ||
          testing::Value(test.allowed, testing::Contains(method.substr(method.rfind('/') + 1)));
      const grpc::Status status = Call(channel, method);
      EXPECT_NE(status.error_code(), StatusCode::UNAUTHENTICATED) << test.role << " " << method;
      EXPECT_EQ(status.error_code() == StatusCode::PERMISSION_DENIED, !allowed)
          << test.role << " " << method << ": " << status.error_message();
      EXPECT_THAT(status.error_message(), Not(HasSubstr(TokenOf(test.role))));
    }
  }
  const grpc::Status submit =
      Call(Channel(client_, TokenOf("viewer")), "/rally.v1.JobService/SubmitJob");
  EXPECT_EQ(submit.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(submit.error_message(),
            "the token of viewer has the role viewer, which may not call "
            "/rally.v1.JobService/SubmitJob");
}

TEST_F(CoordinatorSecurityTest, TokensChangeWithoutARestart) {
  const std::string list = "/rally.v1.JobService/ListJobs";
  const auto channel = Channel(client_, TokenOf("viewer"));
  ASSERT_TRUE(Call(channel, list).ok());
  const std::string fresh = "fresh-token-0123456789abcdef";

  // A file that makes no sense takes nobody's right away.
  ReplaceFile(In("tokens"), "viewer viewer " + fresh + "\n");
  absl::Notification never;
  never.WaitForNotificationWithTimeout(kReloadInterval * 1.5);
  EXPECT_TRUE(Call(channel, list).ok());

  ReplaceFile(In("tokens"), TokenLine("viewer", "viewer", fresh));
  EXPECT_TRUE(Eventually([&] { return !Call(channel, list).ok(); }));
  EXPECT_EQ(Call(channel, list).error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Http("/metrics", client_, "Bearer " + TokenOf("viewer")), 401);
  // The client takes its own new token up at once.
  ReplaceFile(In(absl::StrCat("client-token-", absl::BytesToHexString(TokenOf("viewer")))),
              "\n" + fresh + "\n");
  EXPECT_TRUE(Call(channel, list).ok());
  EXPECT_EQ(Http("/metrics", client_, "Bearer " + fresh), 200);
}

TEST_F(CoordinatorSecurityTest, CertificatesChangeWithoutARestart) {
  const std::string list = "/rally.v1.JobService/ListJobs";
  const std::string bearer = "Bearer " + TokenOf("viewer");
  const auto old_channel = Channel(client_, TokenOf("viewer"));
  ASSERT_TRUE(Call(old_channel, list).ok());
  ASSERT_EQ(Http("/metrics", client_, bearer), 200);
  certificates_->Issue("new-server", "other-ca", "other-ca");
  const TlsFiles fresh = certificates_->Issue("new-client", "other-ca", "other-ca");
  EXPECT_EQ(Http("/metrics", fresh, bearer), 0);

  for (const auto& [from, to] :
       {std::pair(In("new-server.key"), server_.key), std::pair(In("new-server.pem"), server_.cert),
        std::pair(In("other-ca.pem"), server_.ca)}) {
    ReplaceFile(to, *ReadFile(from));
  }
  const auto gets_in = [&] { return Call(Channel(fresh, TokenOf("viewer")), list).ok(); };
  EXPECT_TRUE(Eventually(gets_in));
  EXPECT_TRUE(Eventually([&] { return Http("/metrics", fresh, bearer) == 200; }));
  // What was issued by the old authority is worth nothing any more, to either side.
  const TlsFiles old_client = {fresh.ca, client_.cert, client_.key};
  EXPECT_EQ(Call(Channel(old_client, TokenOf("viewer")), list).error_code(),
            StatusCode::UNAVAILABLE);
  EXPECT_EQ(Http("/metrics", old_client, bearer), 0);
  // Connections that are open stay.
  EXPECT_TRUE(Call(old_channel, list).ok());
}

TEST_F(CoordinatorSecurityTest, ABrokenKeyStopsNewGrpcConnectionsAloneAndForAWhile) {
  const std::string list = "/rally.v1.JobService/ListJobs";
  const std::string bearer = "Bearer " + TokenOf("viewer");
  const auto gets_in = [&] { return Call(Channel(client_, TokenOf("viewer")), list).ok(); };
  const auto old_channel = Channel(client_, TokenOf("viewer"));
  ASSERT_TRUE(Call(old_channel, list).ok());
  const std::string key = *ReadFile(server_.key);
  // A file that cannot be read changes nothing.
  std::filesystem::remove(server_.key);
  absl::Notification never;
  never.WaitForNotificationWithTimeout(kReloadInterval * 1.5);
  EXPECT_TRUE(gets_in());
  EXPECT_EQ(Http("/metrics", client_, bearer), 200);

  ReplaceFile(server_.key, "no key\n");
  EXPECT_TRUE(Eventually([&] { return !gets_in(); }));
  EXPECT_EQ(Http("/metrics", client_, bearer), 200);
  EXPECT_TRUE(Call(old_channel, list).ok());
  ReplaceFile(server_.key, key);
  EXPECT_TRUE(Eventually(gets_in));
}

TEST_F(CoordinatorSecurityTest, FilesThatCannotBeUsedAreNamedAtTheStart) {
  const struct {
    std::function<void(SecurityOptions*)> spoil;
    const char* message;
  } cases[] = {
      {[&](SecurityOptions* s) { s->tls.key = In("client.key"); }, "--tls-key"},
      {[&](SecurityOptions* s) { s->tls.cert = In("nothing.pem"); }, "--tls-cert"},
      {[&](SecurityOptions* s) { s->tls.ca = In("client.key"); }, "--tls-ca"},
      {[&](SecurityOptions* s) { s->tls.key = ""; }, "--tls-cert and --tls-key"},
      {[&](SecurityOptions* s) { s->token_file = In("nothing"); }, "--token-file"},
      {[&](SecurityOptions* s) { s->token_file = In("client.key"); }, "line 1"},
      {[&](SecurityOptions* s) { s->tls = {}; }, "a token must not travel in clear"},
  };
  for (const auto& test : cases) {
    CoordinatorOptions options = Options("another");
    test.spoil(&options.security);
    const absl::Status status = Coordinator::Start(options).status();
    ASSERT_FALSE(status.ok()) << test.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace rally
