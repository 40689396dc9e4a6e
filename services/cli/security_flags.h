// The flags by which `rally` proves who it is to a coordinator that asks, and the other way round.
#ifndef RALLY_SERVICES_CLI_SECURITY_FLAGS_H_
#define RALLY_SERVICES_CLI_SECURITY_FLAGS_H_

#include "proto/credentials.h"

namespace CLI {
class App;
}

namespace rally {

// `security` is borrowed for as long as the parser lives.
void AddSecurityFlags(CLI::App* app, ClientSecurity* security);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_SECURITY_FLAGS_H_
