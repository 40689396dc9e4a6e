// TestCertificates: certificate authorities and certificates of a test, made by the openssl
// program.
#ifndef RALLY_TESTS_SERVICES_TEST_CERTIFICATES_H_
#define RALLY_TESTS_SERVICES_TEST_CERTIFICATES_H_

#include <string>
#include <utility>
#include <vector>

#include "proto/credentials.h"

namespace rally {

class TestCertificates {
 public:
  // Files go into `directory`, which exists.
  explicit TestCertificates(std::string directory) : directory_(std::move(directory)) {}

  // NAME.pem and NAME.key of an authority; the path of the certificate.
  std::string MakeAuthority(const std::string& name);
  // NAME.pem and NAME.key for 127.0.0.1 and localhost, issued by an authority that was made. The
  // files of one end that shows it and trusts `trusted`.
  TlsFiles Issue(const std::string& name, const std::string& authority, const std::string& trusted);

  std::string Path(const std::string& file) const { return directory_ + "/" + file; }

 private:
  void OpenSsl(const std::vector<std::string>& arguments);

  const std::string directory_;
};

// Writes aside and renames, as tools that renew certificates do.
void ReplaceFile(const std::string& path, const std::string& contents);

}  // namespace rally

#endif  // RALLY_TESTS_SERVICES_TEST_CERTIFICATES_H_
