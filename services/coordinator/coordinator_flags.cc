#include "services/coordinator/coordinator_flags.h"

#include <algorithm>
#include <array>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/time.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr std::array<absl::string_view, 4> kLogLevels = {"debug", "info", "warning", "error"};

absl::Status SetAddress(absl::string_view flag, const std::string& value, ListenAddress* address) {
  absl::StatusOr<ListenAddress> parsed = ParseListenAddress(value);
  if (!parsed.ok()) return Annotate(parsed.status(), absl::StrCat("--", flag));
  *address = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status SetRoundTimeout(const std::string& value, CoordinatorFlags* flags) {
  absl::Duration timeout;
  if (!absl::ParseDuration(value, &timeout) || timeout < absl::Seconds(1) ||
      timeout > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--round-timeout: \"", value, "\" is not a duration in [1s, 24h], such as 90s or 15m"));
  }
  flags->core.round_timeout = timeout;
  return absl::OkStatus();
}

absl::Status SetKeepJobs(const std::string& value, CoordinatorFlags* flags) {
  constexpr int64_t kMost = 1000000;
  int64_t jobs = 0;
  if (!absl::SimpleAtoi(value, &jobs) || jobs < 1 || jobs > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat("--keep-jobs: \"", value, "\" is not a number in [1, ", kMost, "]"));
  }
  flags->core.ended_jobs = jobs;
  return absl::OkStatus();
}

absl::Status SetEndedTtl(const std::string& value, CoordinatorFlags* flags) {
  absl::Duration ttl;
  if (!absl::ParseDuration(value, &ttl) || ttl < absl::ZeroDuration() ||
      (ttl > absl::ZeroDuration() && ttl < absl::Seconds(1)) || ttl > absl::Hours(1000000)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ended-ttl: \"", value,
                     "\" is not a duration in [1s, 1000000h], such as 720h, or 0 for ever"));
  }
  flags->core.ended_ttl = ttl > absl::ZeroDuration() ? ttl : absl::InfiniteDuration();
  return absl::OkStatus();
}

struct LimitFlag {
  absl::string_view flag;
  int64_t ServiceLimits::*limit;
  int64_t most;
};

constexpr LimitFlag kLimitFlags[] = {
    {"max-message-bytes", &ServiceLimits::message_bytes, kMostMessageBytes},
    {"max-job-bytes", &ServiceLimits::job_bytes, kMostMessageBytes},
    {"max-job-members", &ServiceLimits::job_members, 2048},
    {"max-active-jobs", &ServiceLimits::active_jobs, 1000000},
    {"max-active-bytes", &ServiceLimits::active_bytes, int64_t{1} << 40},
    {"max-streams", &ServiceLimits::streams, 1000000},
    {"max-sessions", &ServiceLimits::sessions, 1000000},
};

absl::Status SetLimit(const LimitFlag& limit, const std::string& value, ServiceLimits* limits) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < 1 || number > limit.most) {
    return absl::InvalidArgumentError(absl::StrCat("--", limit.flag, ": \"", value,
                                                   "\" is not a number in [1, ", limit.most, "]"));
  }
  limits->*limit.limit = number;
  return absl::OkStatus();
}

// The text that a flag sets as it is, or null.
std::string* TextOf(absl::string_view flag, CoordinatorFlags* flags) {
  if (flag == "address-file") return &flags->address_file;
  if (flag == "data-dir") return &flags->data_directory;
  if (flag == "tls-ca") return &flags->security.tls.ca;
  if (flag == "tls-cert") return &flags->security.tls.cert;
  if (flag == "tls-key") return &flags->security.tls.key;
  if (flag == "token-file") return &flags->security.token_file;
  if (flag == "data-root") return &flags->security.data_roots.emplace_back();
  return nullptr;
}

absl::Status SetFlag(absl::string_view flag, const std::string& value, CoordinatorFlags* flags) {
  if (flag == "listen") return SetAddress(flag, value, &flags->grpc);
  if (flag == "http") return SetAddress(flag, value, &flags->http);
  if (flag == "round-timeout") return SetRoundTimeout(value, flags);
  if (flag == "keep-jobs") return SetKeepJobs(value, flags);
  if (flag == "ended-ttl") return SetEndedTtl(value, flags);
  for (const LimitFlag& limit : kLimitFlags) {
    if (flag == limit.flag) return SetLimit(limit, value, &flags->limits);
  }
  if (std::string* text = TextOf(flag, flags)) {
    // An empty variable of a script must not turn protection off.
    if (value.empty()) return absl::InvalidArgumentError(absl::StrCat("--", flag, ": is empty"));
    *text = value;
  } else if (flag == "log-level") {
    if (std::find(kLogLevels.begin(), kLogLevels.end(), value) == kLogLevels.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--log-level: \"", value, "\" is not in {debug, info, warning, error}"));
    }
    flags->log_level = value;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, ": there is no such flag"));
  }
  return absl::OkStatus();
}

}  // namespace

const char kCoordinatorHelp[] =
    R"(rally-coordinator: takes training jobs, places them on members and leads them step by step.

Usage: rally-coordinator [--flag=value ...]

  --listen=HOST:PORT      Address of the gRPC API for users and members; port 0 takes a free one.
                          Default 127.0.0.1:7070.
  --http=HOST:PORT        Address of /metrics, /healthz and /readyz; port 0 takes a free one.
                          Default 127.0.0.1:7071.
  --data-dir=DIRECTORY    Where jobs, events and log lines are kept; made when it is not there. One
                          coordinator at a time. Default rally-data.
  --round-timeout=DURATION  Longest time a running job may take for one step or validation, planning
                          included. Then it is started anew from its newest checkpoint, as after
                          the loss of a member. Default 15m.
  --keep-jobs=N           Jobs that have ended and are kept as history, with their events and log
                          lines; the oldest go first. Default 1000. Of a job's log lines the newest
                          100000 are kept.
  --ended-ttl=DURATION    How long a job that has ended is kept; 0: for ever. Default 720h.
  --tls-cert=FILE, --tls-key=FILE  Certificate and private key of the coordinator, PEM: TLS on both
                          addresses. Default: none.
  --tls-ca=FILE           Clients and members must show a certificate from this authority, PEM.
                          Default: they need none.
  --token-file=FILE       Who may call, a line "NAME ROLE sha256:DIGEST" for every token; ROLE is
                          viewer, submitter, admin or member. Needs TLS. Default: everybody.
  --data-root=DIRECTORY   Jobs may read and write in this directory only, by paths resolved; may be
                          repeated. Default: everywhere.
  --insecure              Listen on other than loopback addresses without the above.
  --max-job-bytes=N       Largest job, in bytes on the wire. Default 1048576.
  --max-job-members=N     Most workers and attention servers that a job may ask for. Default 2048.
  --max-active-jobs=N     Jobs that have not ended. Default 10000.
  --max-active-bytes=N    Bytes of those on the wire. Default 268435456.
  --max-streams=N         Open streams of users (watch, logs). Default 10000.
  --max-sessions=N        Connected members. Default 4096.
  --max-message-bytes=N   Largest message taken. Default 67108864.
  --address-file=FILE     Once serving, write {"grpc": "host:port", "http": "host:port", "pid": N}
                          there, so that scripts find free ports. Default: none.
  --log-level=LEVEL       debug, info, warning or error. Default info.
  --help                  This text.

Ctrl-C or SIGTERM stops it cleanly. Members keep what they hold; started again on the same data
directory it takes them back, and jobs that ran go on without losing a step.

Certificates and tokens are read again when their files change. docs/security.md tells how to make
them.

Example, with one worker and one attention server:
  rally-coordinator --data-dir=/var/lib/rally &
  rally-worker --role=model --coordinator=127.0.0.1:7070 &
  rally-worker --role=attention --coordinator=127.0.0.1:7070 &
  rally submit job.yaml

Exit codes: 0 stopped on request, 1 failure, 2 wrong usage.
)";

absl::StatusOr<CoordinatorFlags> ParseCoordinatorFlags(const std::vector<std::string>& arguments) {
  CoordinatorFlags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      flags.help = true;
      return flags;
    }
    if (argument == "--insecure") {
      flags.security.insecure = true;
      continue;
    }
    if (!absl::ConsumePrefix(&argument, "--")) {
      return absl::InvalidArgumentError(absl::StrCat("\"", argument, "\": flags begin with --"));
    }
    const size_t equals = argument.find('=');
    const absl::string_view flag = argument.substr(0, equals);
    std::string value;
    if (equals != absl::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, ": needs a value"));
    }
    RALLY_RETURN_IF_ERROR(SetFlag(flag, value, &flags));
  }
  return flags;
}

}  // namespace rally
