#include "tests/services/test_certificates.h"

#include <fstream>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "common/atomic_file.h"
#include "tests/services/program.h"

namespace rally {

void TestCertificates::OpenSsl(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"openssl"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  Program program(command, Path("openssl.txt"));
  ASSERT_TRUE(program.started()) << "the openssl program is missing";
  ASSERT_EQ(program.Wait(absl::Now() + absl::Seconds(30)), 0) << program.Output();
}

std::string TestCertificates::MakeAuthority(const std::string& name) {
  OpenSsl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
           "-subj", "/CN=" + name, "-days", "2", "-keyout", Path(name + ".key"), "-out",
           Path(name + ".pem")});
  return Path(name + ".pem");
}

TlsFiles TestCertificates::Issue(const std::string& name, const std::string& authority,
                                 const std::string& trusted) {
  OpenSsl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
           "/CN=" + name, "-keyout", Path(name + ".key"), "-out", Path(name + ".csr")});
  std::ofstream(Path("names")) << "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
  OpenSsl({"x509", "-req", "-in", Path(name + ".csr"), "-CA", Path(authority + ".pem"), "-CAkey",
           Path(authority + ".key"), "-CAcreateserial", "-days", "2", "-extfile", Path("names"),
           "-out", Path(name + ".pem")});
  return {Path(trusted + ".pem"), Path(name + ".pem"), Path(name + ".key")};
}

void ReplaceFile(const std::string& path, const std::string& contents) {
  const absl::Status written = WriteFileAtomically(path, contents);
  ASSERT_TRUE(written.ok()) << written;
}

}  // namespace rally
