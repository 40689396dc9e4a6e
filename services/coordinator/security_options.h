// SecurityOptions: what protects the coordinator, and how much of it there must be.
//
// On loopback nothing must be: the machine's users are trusted. An address that other machines
// reach needs TLS, tokens and data roots, or `insecure` for a network that protects it.
//
// Plain data and pure functions.
#ifndef RALLY_SERVICES_COORDINATOR_SECURITY_OPTIONS_H_
#define RALLY_SERVICES_COORDINATOR_SECURITY_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

#include "proto/credentials.h"
#include "proto/limits.h"
#include "services/coordinator/listen_address.h"

namespace rally {

struct SecurityOptions {
  TlsFiles tls;                         // `ca`: clients must show a certificate from there.
  std::string token_file;               // token_table.h; empty: no tokens.
  std::vector<std::string> data_roots;  // data_roots.h; empty: jobs' paths are free.
  bool insecure = false;
};

// InvalidArgument, with what to do, unless the options suffice for these addresses.
absl::Status CheckExposure(const SecurityOptions& security, const ListenAddress& grpc,
                           const ListenAddress& http);

// What callers may take of the coordinator, all at least 1. More is ResourceExhausted, naming the
// flag and its value.
struct ServiceLimits {
  int64_t message_bytes = kMostMessageBytes;  // --max-message-bytes: of one received message.
  int64_t job_bytes = 1 << 20;                // --max-job-bytes: of a job in wire form.
  int64_t job_members = 2048;                 // --max-job-members: that a job asks for.
  int64_t active_jobs = 10000;                // --max-active-jobs: that have not ended.
  int64_t active_bytes = 256 << 20;           // --max-active-bytes: of those, in wire form.
  int64_t streams = 10000;                    // --max-streams: of WatchJob and StreamLogs, open.
  int64_t sessions = 4096;                    // --max-sessions: of members, open.
};

// ResourceExhausted when `count` is more than `limit`: "FLAG: WHAT would be COUNT, the limit ...".
absl::Status CheckLimit(absl::string_view flag, absl::string_view what, int64_t count,
                        int64_t limit);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_SECURITY_OPTIONS_H_
