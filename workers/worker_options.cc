#include "workers/worker_options.h"

#include <sched.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr int32_t kMostThreads = 4096;

absl::Status Refuse(const std::string& value, absl::string_view accepted) {
  return absl::InvalidArgumentError(absl::StrCat("\"", value, "\" is not ", accepted));
}

absl::Status SetRole(const std::string& value, WorkerOptions* options) {
  if (value == "model") {
    options->role = v1::MEMBER_ROLE_MODEL;
  } else if (value == "attention") {
    options->role = v1::MEMBER_ROLE_ATTENTION;
  } else if (value == "profile") {
    options->profile = true;
  } else {
    return Refuse(value, "\"model\", \"attention\" or \"profile\"");
  }
  return absl::OkStatus();
}

absl::Status SetCoordinator(const std::string& value, WorkerOptions* options) {
  const size_t colon = value.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(value.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return Refuse(value, "HOST:PORT with a port in [1, 65535]");
  }
  options->coordinator = value;
  return absl::OkStatus();
}

absl::Status SetId(const std::string& value, WorkerOptions* options) {
  constexpr size_t kLongest = 128;
  if (value.empty() || value.size() > kLongest) return Refuse(value, "a name of 1 to 128 bytes");
  options->id = value;
  return absl::OkStatus();
}

absl::Status SetThreads(const std::string& value, WorkerOptions* options) {
  if (!absl::SimpleAtoi(value, &options->threads) || options->threads < 0 ||
      options->threads > kMostThreads) {
    return Refuse(value, "a number in [0, 4096]");
  }
  return absl::OkStatus();
}

absl::Status SetInstructionSet(const std::string& value, WorkerOptions* options) {
  const std::optional<CpuInstructionSet> set = FindCpuInstructionSet(value);
  if (!set.has_value()) return Refuse(value, kCpuInstructionSetNames);
  options->instruction_set = *set;
  return absl::OkStatus();
}

absl::Status SetDuration(const std::string& value, absl::Duration least, absl::Duration* duration) {
  if (absl::ParseDuration(value, duration) && *duration >= least && *duration <= absl::Hours(24)) {
    return absl::OkStatus();
  }
  return Refuse(value, absl::StrCat("a duration in [", absl::FormatDuration(least),
                                    ", 24h], such as 30s or 5m"));
}

absl::Status SetLogLevel(const std::string& value, WorkerOptions* options) {
  for (const char* level : {"debug", "info", "warning", "error"}) {
    if (value != level) continue;
    options->log_level = value;
    return absl::OkStatus();
  }
  return Refuse(value, "debug, info, warning or error");
}

absl::Status SetSwitch(const std::string& value, bool* on) {
  if (value != "on" && value != "off") return Refuse(value, "on or off");
  *on = value == "on";
  return absl::OkStatus();
}

absl::Status SetText(const std::string& value, std::string* text) {
  *text = value;
  return absl::OkStatus();
}

// An empty variable of a script must not turn protection off.
absl::Status SetFile(const std::string& value, std::string* path) {
  if (value.empty()) return Refuse(value, "the path of a file");
  *path = value;
  return absl::OkStatus();
}

using Setter = std::function<absl::Status(const std::string&)>;

std::map<std::string, Setter> SettersOf(WorkerOptions* options) {
  using Value = const std::string&;
  return {
      {"role", [=](Value value) { return SetRole(value, options); }},
      {"profile-request", [=](Value value) { return SetText(value, &options->profile_request); }},
      {"coordinator", [=](Value value) { return SetCoordinator(value, options); }},
      {"id", [=](Value value) { return SetId(value, options); }},
      {"threads", [=](Value value) { return SetThreads(value, options); }},
      {"instruction-set", [=](Value value) { return SetInstructionSet(value, options); }},
      {"log-level", [=](Value value) { return SetLogLevel(value, options); }},
      {"tls-ca", [=](Value value) { return SetFile(value, &options->security.tls.ca); }},
      {"tls-cert", [=](Value value) { return SetFile(value, &options->security.tls.cert); }},
      {"tls-key", [=](Value value) { return SetFile(value, &options->security.tls.key); }},
      {"token-file", [=](Value value) { return SetFile(value, &options->security.token_file); }},
      {"advertise-host", [=](Value value) { return SetText(value, &options->advertise_host); }},
      {"transports", [=](Value value) { return SetText(value, &options->transports); }},
      {"network-devices", [=](Value value) { return SetText(value, &options->network_devices); }},
      {"checksums", [=](Value value) { return SetSwitch(value, &options->checksums); }},
      {"phase-timeout",
       [=](Value value) { return SetDuration(value, absl::Seconds(1), &options->phase_timeout); }},
      {"grace",
       [=](Value value) { return SetDuration(value, absl::ZeroDuration(), &options->grace); }},
      {"cpus",
       [=](Value value) {
         absl::StatusOr<std::vector<int>> cpus = ParseCpuList(value);
         if (cpus.ok()) options->cpus = *std::move(cpus);
         return cpus.status();
       }},
  };
}

}  // namespace

const char kWorkerHelp[] =
    R"(rally-worker: a member of a Rally cluster. It waits for jobs from the coordinator.

Usage: rally-worker --role=model|attention [--flag=value ...]
       rally-worker --role=profile --profile-request=FILE

  --role=ROLE              model: holds the model's layers, and serves core attention in place when
                           a job asks for that. attention: computes core attention only.
                           profile: measures this machine and ends; see rally profile. Required.
  --profile-request=FILE   With --role=profile: what to measure and where to write it, a
                           rally.v1.ProfileRequest in JSON.
  --coordinator=HOST:PORT  Where the coordinator listens. When it is not there, the member tries
                           again and again. Default 127.0.0.1:7070.
  --id=NAME                Name of this member, unique in the cluster. Default HOST-PID.
  --threads=N              Compute threads; 0: one for each core this process may run on, or as
                           many as its control group gives time for. Default 0.
  --cpus=LIST              Run on these cores only, such as 0 or 0-3,6. Default: as started.
  --instruction-set=SET    What core attention is computed with: best, portable, avx2, avx512 or
                           avx512_bf16. Unequal machines compute equal bits of it with one that all
                           of them have. Default best: the last of these that the CPU has.
  --advertise-host=HOST    Address at which the other members reach this one. Default: 127.0.0.1
                           with a coordinator on this machine's loopback, else the address of the
                           interface that reaches the coordinator.
  --tls-ca=FILE            Connect by TLS, to a coordinator whose certificate comes from this
                           authority. Default: without TLS.
  --tls-cert=FILE, --tls-key=FILE  Certificate to show the coordinator, and its private key.
  --token-file=FILE        File that holds the token to show, of role member. Needs --tls-ca.
  --transports=LIST        UCX transports, as UCX_TLS names them. Default: shared memory and TCP
                           when all members of a job run on one machine, else what UCX chooses.
  --network-devices=LIST   Network devices for UCX, as UCX_NET_DEVICES names them. Default: lo on
                           one machine, else all.
  --checksums=on|off       Whether what this member sends to others carries a CRC32C, by which they
                           tell that it came as it was sent. Default on.
  --phase-timeout=DURATION Longest wait for one phase's messages, for the other workers when a job
                           starts, or for the coordinator to change the attention servers once
                           asked to. Default 5m.
  --grace=DURATION         Longest time to finish after SIGTERM or Ctrl-C. Default 30s.
  --log-level=LEVEL        debug, info, warning or error. Default info.
  --help                   This text.

Ctrl-C or SIGTERM: the job's step is finished and a checkpoint written, when it has a place for
them; the job goes on elsewhere, or waits. A second Ctrl-C stops at once.

Examples:
  rally-worker --role=model --cpus=0-7 --threads=8
  rally-worker --role=attention --coordinator=10.0.0.5:7070 --id=attention-3

Exit codes: 0 stopped on request, 1 failure, 2 wrong usage, 130 stopped by a second Ctrl-C.
)";

absl::StatusOr<std::vector<int>> ParseCpuList(const std::string& text) {
  std::vector<int> cpus;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first = -1;
    int last = -1;
    if (!absl::SimpleAtoi(ends.first, &first) ||
        !absl::SimpleAtoi(absl::StrContains(part, '-') ? ends.second : ends.first, &last) ||
        first < 0 || last < first || last >= CPU_SETSIZE ||
        (!cpus.empty() && first <= cpus.back())) {
      return Refuse(text, "a list of cores in ascending order, such as 0-3,6");
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

absl::StatusOr<WorkerOptions> ParseWorkerOptions(const std::vector<std::string>& arguments) {
  WorkerOptions options;
  const std::map<std::string, Setter> setters = SettersOf(&options);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--help" || arguments[i] == "-h") {
      options.help = true;
      return options;
    }
    absl::string_view argument = arguments[i];
    if (!absl::ConsumePrefix(&argument, "--")) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", arguments[i], "\": only flags, which begin with --, are accepted"));
    }
    const size_t equals = argument.find('=');
    const std::string flag(argument.substr(0, equals));
    const auto setter = setters.find(flag);
    if (setter == setters.end()) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, ": there is no such flag"));
    }
    if (equals == absl::string_view::npos && i + 1 == arguments.size()) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, ": needs a value"));
    }
    const std::string value = equals == absl::string_view::npos
                                  ? arguments[++i]
                                  : std::string(argument.substr(equals + 1));
    RALLY_RETURN_IF_ERROR(Annotate(setter->second(value), absl::StrCat("--", flag)));
  }
  if (options.profile == options.profile_request.empty()) {
    return absl::InvalidArgumentError(
        "--profile-request: goes with --role=profile, which needs it");
  }
  if (options.role == v1::MEMBER_ROLE_UNSPECIFIED && !options.profile) {
    return absl::InvalidArgumentError("--role: is required: \"model\" or \"attention\"");
  }
  return options;
}

}  // namespace rally
