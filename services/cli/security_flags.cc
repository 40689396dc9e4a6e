#include "services/cli/security_flags.h"

#include <CLI/CLI.hpp>

namespace rally {

void AddSecurityFlags(CLI::App* app, ClientSecurity* security) {
  constexpr char kGroup[] = "Coordinators with TLS";
  app->add_option("--tls-ca", security->tls.ca,
                  "Connect by TLS, to a coordinator whose certificate comes from this authority")
      ->type_name("FILE")
      ->group(kGroup);
  app->add_option("--tls-cert", security->tls.cert, "Certificate to show the coordinator")
      ->type_name("FILE")
      ->group(kGroup);
  app->add_option("--tls-key", security->tls.key, "Private key of --tls-cert")
      ->type_name("FILE")
      ->group(kGroup);
  app->add_option("--token-file", security->token_file, "File that holds the token to show")
      ->type_name("FILE")
      ->group(kGroup);
}

}  // namespace rally
