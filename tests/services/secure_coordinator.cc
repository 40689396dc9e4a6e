#include "tests/services/secure_coordinator.h"

#include <stdlib.h>

#include <filesystem>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <httplib.h>
#include <openssl/sha.h>

namespace rally {
namespace {

using google::protobuf::Message;

std::unique_ptr<Message> MakeReflectionMessage(const std::string& name) {
  const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
      "grpc.reflection.v1alpha." + name);
  return std::unique_ptr<Message>(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

void AddMethods(const std::string& name, std::vector<std::string>* methods) {
  const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
  if (service == nullptr) {
    // gRPC's own health service is the one without descriptors.
    ASSERT_EQ(name, "grpc.health.v1.Health");
    methods->push_back("/grpc.health.v1.Health/Check");
    methods->push_back("/grpc.health.v1.Health/Watch");
    return;
  }
  for (int i = 0; i < service->method_count(); ++i) {
    methods->push_back(absl::StrCat("/", name, "/", service->method(i)->name()));
  }
}

}  // namespace

std::string TokenOf(const std::string& role) {
  return absl::StrCat(role, "-token-0123456789abcdef");
}

std::string TokenLine(const std::string& name, const std::string& role, const std::string& token) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return absl::StrCat(name, " ", role, " sha256:", absl::BytesToHexString(digest), "\n");
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  absl::Notification never;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    never.WaitForNotificationWithTimeout(absl::Milliseconds(50));
  }
  return true;
}

void SecureCoordinator::SetUp() {
  std::string pattern = testing::TempDir() + "rally-security-XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  directory_ = pattern;
  certificates_ = std::make_unique<TestCertificates>(directory_);
  certificates_->MakeAuthority("ca");
  certificates_->MakeAuthority("other-ca");
  server_ = certificates_->Issue("server", "ca", "ca");
  client_ = certificates_->Issue("client", "ca", "ca");
  // The server's own copy, so that it can change alone.
  std::filesystem::copy_file(server_.ca, In("clients-ca.pem"));
  server_.ca = In("clients-ca.pem");
  std::string tokens;
  for (const char* role : {"viewer", "submitter", "admin", "member"}) {
    absl::StrAppend(&tokens, TokenLine(role, role, TokenOf(role)));
  }
  ReplaceFile(In("tokens"), tokens);
  absl::StatusOr<std::unique_ptr<Coordinator>> coordinator =
      Coordinator::Start(Options("coordinator"));
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  coordinator_ = *std::move(coordinator);
}

void SecureCoordinator::TearDown() {
  coordinator_.reset();
  std::filesystem::remove_all(directory_);
}

CoordinatorOptions SecureCoordinator::Options(const std::string& data_directory) const {
  CoordinatorOptions options;
  options.grpc = {"127.0.0.1", 0};
  options.http = {"127.0.0.1", 0};
  options.data_directory = In(data_directory);
  options.security.tls = server_;
  options.security.token_file = In("tokens");
  return options;
}

std::shared_ptr<grpc::Channel> SecureCoordinator::Channel(const TlsFiles& files,
                                                          const std::string& token) {
  ClientSecurity security = {files, ""};
  if (!token.empty()) {
    security.token_file = In(absl::StrCat("client-token-", absl::BytesToHexString(token)));
    ReplaceFile(security.token_file, token);
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      MakeChannelCredentials(security);
  EXPECT_TRUE(credentials.ok()) << credentials.status();
  return Connect(*credentials);
}

std::shared_ptr<grpc::Channel> SecureCoordinator::Connect(
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(coordinator_->grpc_address().ToString(), credentials, arguments);
}

grpc::Status SecureCoordinator::Call(const std::shared_ptr<grpc::Channel>& channel,
                                     const std::string& method, const std::string& request,
                                     std::string* answer, const std::string& authorization) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, method, &queue);
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(this);
  if (wait()) {
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), this);
    wait();
    grpc::ByteBuffer message;
    call->Read(&message, this);
    grpc::Slice bytes;
    if (wait()) {
      if (answer != nullptr && message.DumpToSingleSlice(&bytes).ok()) {
        answer->assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
      }
      context.TryCancel();
    }
  }
  grpc::Status status;
  call->Finish(&status, this);
  wait();
  return status.error_code() == grpc::StatusCode::CANCELLED ? grpc::Status::OK : status;
}

std::vector<std::string> SecureCoordinator::Methods() {
  const auto request = MakeReflectionMessage("ServerReflectionRequest");
  request->GetReflection()->SetString(
      request.get(), request->GetDescriptor()->FindFieldByName("list_services"), "*");
  std::string answer;
  const grpc::Status status = Call(Channel(client_, TokenOf("admin")),
                                   "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                   request->SerializeAsString(), &answer);
  EXPECT_TRUE(status.ok()) << status.error_message();
  const auto response = MakeReflectionMessage("ServerReflectionResponse");
  EXPECT_TRUE(response->ParseFromString(answer));
  const Message& list = response->GetReflection()->GetMessage(
      *response, response->GetDescriptor()->FindFieldByName("list_services_response"));
  const auto* services = list.GetDescriptor()->FindFieldByName("service");
  std::vector<std::string> methods;
  for (int i = 0; i < list.GetReflection()->FieldSize(list, services); ++i) {
    const Message& service = list.GetReflection()->GetRepeatedMessage(list, services, i);
    AddMethods(service.GetReflection()->GetString(service,
                                                  service.GetDescriptor()->FindFieldByName("name")),
               &methods);
  }
  return methods;
}

int SecureCoordinator::Http(const std::string& path, const TlsFiles& files,
                            const std::string& authorization, std::string* body) {
  httplib::SSLClient client("127.0.0.1", coordinator_->http_address().port, files.cert, files.key);
  client.set_ca_cert_path(files.ca.c_str());
  client.enable_server_certificate_verification(true);
  httplib::Headers headers;
  if (!authorization.empty()) headers.emplace("Authorization", authorization);
  const httplib::Result result = client.Get(path, headers);
  if (result && body != nullptr) *body = result->body;
  return result ? result->status : 0;
}

}  // namespace rally
