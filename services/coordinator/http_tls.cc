#include "services/coordinator/http_tls.h"

#include <string>
#include <type_traits>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/status_macros.h"

namespace rally {
namespace {

template <typename Object, void (*Free)(Object*)>
using Owned = std::unique_ptr<Object, std::integral_constant<decltype(Free), Free>>;
using Certificate = Owned<X509, X509_free>;

struct FreeMemory {
  void operator()(BIO* memory) const { BIO_free(memory); }
};
using Memory = std::unique_ptr<BIO, FreeMemory>;

Memory MemoryOf(const std::string& text) {
  return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate NextCertificate(BIO* memory) {
  return Certificate(PEM_read_bio_X509(memory, nullptr, nullptr, nullptr));
}

// The certificate, those between it and its root, and its key.
bool UseCertificate(SSL_CTX* context, const TlsTexts& texts) {
  const Memory certs = MemoryOf(texts.cert);
  const Certificate own = NextCertificate(certs.get());
  if (own == nullptr || SSL_CTX_use_certificate(context, own.get()) != 1) return false;
  while (const Certificate next = NextCertificate(certs.get())) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return false;
  }
  const Owned<EVP_PKEY, EVP_PKEY_free> key(
      PEM_read_bio_PrivateKey(MemoryOf(texts.key).get(), nullptr, nullptr, nullptr));
  return key != nullptr && SSL_CTX_use_PrivateKey(context, key.get()) == 1 &&
         SSL_CTX_check_private_key(context) == 1;
}

bool TrustClients(SSL_CTX* context, const std::string& authorities) {
  const Memory memory = MemoryOf(authorities);
  while (const Certificate next = NextCertificate(memory.get())) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), next.get()) != 1 ||
        SSL_CTX_add_client_CA(context, next.get()) != 1) {
      return false;
    }
  }
  return true;
}

void Restrict(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A session that is taken up again would keep a certificate that no longer counts.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context, 0);
  const bool asks = sk_X509_NAME_num(SSL_CTX_get_client_CA_list(context)) > 0;
  SSL_CTX_set_verify(context, asks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
}

absl::StatusOr<std::shared_ptr<SSL_CTX>> MakeContext(const TlsTexts& texts) {
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  const bool good = context != nullptr && UseCertificate(context.get(), texts) &&
                    TrustClients(context.get(), texts.ca);
  ERR_clear_error();
  if (!good) return absl::InvalidArgumentError("OpenSSL does not take these certificates");
  Restrict(context.get());
  return context;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpTls>> HttpTls::Create(const TlsFiles& files) {
  if (files.cert.empty()) return absl::InvalidArgumentError("--tls-cert: is missing");
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<ContextReloader> contexts,
                         ContextReloader::Load(
                             "certificates of --tls-cert, --tls-key, --tls-ca",
                             [files] { return ReadTlsFiles(files); }, MakeContext));
  return std::unique_ptr<HttpTls>(new HttpTls(std::move(contexts)));
}

HttpTls::Session HttpTls::NewSession() {
  return Session(SSL_new(contexts_->Get().get()));  // Takes a reference.
}

bool HttpTls::HasCertificate(const SSL* connection) {
  const Certificate shown(SSL_get1_peer_certificate(connection));
  return shown != nullptr && SSL_get_verify_result(connection) == X509_V_OK;
}

}  // namespace rally
