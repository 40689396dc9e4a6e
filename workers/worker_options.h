// WorkerOptions: the command line of rally-worker.
//
// Plain data and pure functions, any thread.
#ifndef RALLY_WORKERS_WORKER_OPTIONS_H_
#define RALLY_WORKERS_WORKER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "proto/credentials.h"
#include "rally/v1/cluster.pb.h"
#include "workers/attention/cpu_instruction_set.h"

namespace rally {

struct WorkerOptions {
  bool help = false;  // Nothing else is set then.
  v1::MemberRole role = v1::MEMBER_ROLE_UNSPECIFIED;
  // --role=profile: no member, but a measurement of the machine, which this file describes.
  bool profile = false;
  std::string profile_request;
  std::string coordinator = "127.0.0.1:7070";  // "host:port"
  std::string id;                              // Empty: host name and process id.
  ClientSecurity security;                     // Towards the coordinator.
  std::string advertise_host;                  // Empty: found by the way to the coordinator.
  int32_t threads = 0;                         // Compute threads; 0: all usable cores.
  std::vector<int> cpus;                       // Cores to run on; empty: as inherited.
  CpuInstructionSet instruction_set = CpuInstructionSet::kBest;  // Of the attention kernel.
  std::string transports;       // UCX_TLS; empty: by the job's placement.
  std::string network_devices;  // UCX_NET_DEVICES; empty: the same.
  bool checksums = true;        // Of what is sent to other members.
  absl::Duration phase_timeout = absl::Minutes(5);
  absl::Duration grace = absl::Seconds(30);
  std::string log_level = "info";
};

extern const char kWorkerHelp[];

// Arguments after the program's name. InvalidArgument names the flag, its value and what is
// accepted.
absl::StatusOr<WorkerOptions> ParseWorkerOptions(const std::vector<std::string>& arguments);

// "0", "0-3", "0,2,4-5": ascending, each core once. InvalidArgument otherwise.
absl::StatusOr<std::vector<int>> ParseCpuList(const std::string& text);

}  // namespace rally

#endif  // RALLY_WORKERS_WORKER_OPTIONS_H_
