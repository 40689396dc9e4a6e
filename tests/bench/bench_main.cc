// rally-bench: every benchmark of the project, one subcommand each.
//
//   rally-bench COMMAND [--json] [--name=value ...]
//
// Results go to standard output, errors to standard error. Exit code 0, 1 when a bench fails, 2 for
// wrong usage. A command's flags and its line of help stand in kCommands.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>

#include "common/mutex_checks.h"
#include "common/start_over.h"
#include "common/status_macros.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/balance_bench.h"
#include "tests/bench/coordinator_bench.h"
#include "tests/bench/pingpong_bench.h"
#include "tests/bench/planner_bench.h"
#include "tests/bench/step_bench.h"
#include "tests/bench/transport_bench.h"

namespace rally::bench {
namespace {

// The flags of one call by name, without dashes; "true" for those without a value.
class Flags {
 public:
  static absl::StatusOr<Flags> Parse(int argc, char** argv, int first) {
    Flags flags;
    for (int i = first; i < argc; ++i) {
      absl::string_view argument = argv[i];
      if (!absl::ConsumePrefix(&argument, "--")) {
        return absl::InvalidArgumentError(absl::StrCat("unexpected argument: ", argv[i]));
      }
      const std::vector<std::string> parts = absl::StrSplit(argument, absl::MaxSplits('=', 1));
      flags.values_[parts[0]] = parts.size() > 1 ? parts[1] : "true";
    }
    return flags;
  }

  // Each takes a flag out; InvalidArgument when its value is not of the kind asked for.
  absl::Status Take(const std::string& name, bool* value) {
    return TakeAs(name, "true or false",
                  [&](const std::string& text) { return absl::SimpleAtob(text, value); });
  }
  absl::Status Take(const std::string& name, int* value) {
    return TakeAs(name, "a positive number", [&](const std::string& text) {
      return absl::SimpleAtoi(text, value) && *value > 0;
    });
  }
  absl::Status Take(const std::string& name, std::vector<int32_t>* values) {
    return TakeAs(name, "numbers separated by commas", [&](const std::string& text) {
      values->clear();
      for (const absl::string_view part : absl::StrSplit(text, ',')) {
        int32_t value = 0;
        if (!absl::SimpleAtoi(part, &value) || value < 0) return false;
        values->push_back(value);
      }
      return true;
    });
  }
  absl::Status Take(const std::string& name, std::vector<AttentionElement>* values) {
    return TakeAs(name, "float32, bfloat16 or both, separated by a comma",
                  [&](const std::string& text) {
                    values->clear();
                    for (const absl::string_view part : absl::StrSplit(text, ',')) {
                      if (part != "float32" && part != "bfloat16") return false;
                      values->push_back(part == "float32" ? AttentionElement::kFloat32
                                                          : AttentionElement::kBfloat16);
                    }
                    return true;
                  });
  }
  absl::Status Take(const std::string& name, CpuInstructionSet* value) {
    return TakeAs(name, kCpuInstructionSetNames, [&](const std::string& text) {
      const std::optional<CpuInstructionSet> found = FindCpuInstructionSet(text);
      if (found.has_value()) *value = *found;
      return found.has_value();
    });
  }

  // InvalidArgument when a flag was not taken.
  absl::Status Finish() const {
    if (values_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("unknown flag --", values_.begin()->first));
  }

 private:
  template <class Convert>
  absl::Status TakeAs(const std::string& name, const char* accepted, Convert convert) {
    const auto found = values_.find(name);
    if (found == values_.end()) return absl::OkStatus();
    if (!convert(found->second)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, "=", found->second, ": must be ", accepted));
    }
    values_.erase(found);
    return absl::OkStatus();
  }

  std::map<std::string, std::string> values_;
};

absl::Status Attention(Flags* flags, std::ostream& out) {
  AttentionBenchOptions options;
  RALLY_RETURN_IF_ERROR(flags->Take("json", &options.json));
  RALLY_RETURN_IF_ERROR(flags->Take("instruction-set", &options.instruction_set));
  RALLY_RETURN_IF_ERROR(flags->Take("threads", &options.threads));
  RALLY_RETURN_IF_ERROR(flags->Take("head-dims", &options.head_dims));
  RALLY_RETURN_IF_ERROR(flags->Take("dtypes", &options.elements));
  RALLY_RETURN_IF_ERROR(flags->Take("libtorch", &options.libtorch));
  RALLY_RETURN_IF_ERROR(flags->Take("repeats", &options.repeats));
  RALLY_RETURN_IF_ERROR(flags->Finish());
  return RunAttentionBench(options, out);
}

absl::Status Balance(Flags* flags, std::ostream& out) {
  BalanceBenchOptions options;
  RALLY_RETURN_IF_ERROR(flags->Take("json", &options.json));
  RALLY_RETURN_IF_ERROR(flags->Take("pairs", &options.pairs));
  RALLY_RETURN_IF_ERROR(flags->Take("attempts", &options.attempts));
  RALLY_RETURN_IF_ERROR(flags->Finish());
  return RunBalanceBench(options, out);
}

absl::Status Coordinator(Flags* flags, std::ostream& out) {
  CoordinatorBenchOptions options;
  RALLY_RETURN_IF_ERROR(flags->Take("json", &options.json));
  RALLY_RETURN_IF_ERROR(flags->Take("members", &options.members));
  RALLY_RETURN_IF_ERROR(flags->Take("jobs", &options.jobs));
  RALLY_RETURN_IF_ERROR(flags->Take("watchers", &options.watchers));
  RALLY_RETURN_IF_ERROR(flags->Take("stored-jobs", &options.stored_jobs));
  RALLY_RETURN_IF_ERROR(flags->Take("seconds", &options.seconds));
  RALLY_RETURN_IF_ERROR(flags->Take("step-milliseconds", &options.step_milliseconds));
  RALLY_RETURN_IF_ERROR(flags->Finish());
  return RunCoordinatorBench(options, out);
}

absl::Status Pingpong(Flags* flags, std::ostream& out) {
  PingpongBenchOptions options;
  RALLY_RETURN_IF_ERROR(flags->Take("json", &options.json));
  RALLY_RETURN_IF_ERROR(flags->Take("pairs", &options.pairs));
  RALLY_RETURN_IF_ERROR(flags->Finish());
  return RunPingpongBench(options, out);
}

absl::Status PlannerTime(Flags* flags, std::ostream& out) {
  PlannerBenchOptions options;
  RALLY_RETURN_IF_ERROR(flags->Take("json", &options.json));
  RALLY_RETURN_IF_ERROR(flags->Take("servers", &options.servers));
  RALLY_RETURN_IF_ERROR(flags->Take("repeats", &options.repeats));
  RALLY_RETURN_IF_ERROR(flags->Finish());
  if (std::find(options.servers.begin(), options.servers.end(), 0) != options.servers.end()) {
    return absl::InvalidArgumentError("--servers=0: must be positive numbers");
  }
  return RunPlannerBench(options, out);
}

absl::Status StepTime(Flags* flags, std::ostream& out) {
  StepBenchOptions options;
  RALLY_RETURN_IF_ERROR(flags->Take("json", &options.json));
  RALLY_RETURN_IF_ERROR(flags->Take("document-tokens", &options.document_tokens));
  RALLY_RETURN_IF_ERROR(flags->Take("repeats", &options.repeats));
  RALLY_RETURN_IF_ERROR(flags->Finish());
  return RunStepBench(options, out);
}

absl::Status TransportTable(Flags* flags, std::ostream& out) {
  RALLY_RETURN_IF_ERROR(flags->Finish());
  return RunTransportBench(out);
}

struct Command {
  const char* name;
  const char* summary;
  const char* flags;
  absl::Status (*run)(Flags* flags, std::ostream& out);
};

constexpr Command kCommands[] = {
    {"attention", "the attention kernel's rate, as a share of the multiply-add peak",
     "--instruction-set=best|portable|avx2|avx512|avx512_bf16  --threads=1,0 (0: every core)\n"
     "      --head-dims=64,128  --dtypes=float32,bfloat16  --repeats=5\n"
     "      --libtorch=true (its own float32 operators beside the kernel)",
     Attention},
    {"balance", "step throughput with planning over without, beside the ideal of the same run",
     "--pairs=7  --attempts=5 (runs on fewer than 1.8 cores are repeated)", Balance},
    {"coordinator", "what a coordinator with a full house takes for its calls, and its memory",
     "--members=512  --jobs=4  --watchers=200  --stored-jobs=10000  --seconds=120\n"
     "      --step-milliseconds=1000",
     Coordinator},
    {"pingpong", "step throughput with ping-pong over without, on a slow network", "--pairs=7",
     Pingpong},
    {"planner", "what a plan takes on one core, by servers", "--servers=8,64,512  --repeats=9",
     PlannerTime},
    {"step", "a job of one process against a plain LibTorch training loop",
     "--document-tokens=256,1024,4096  --repeats=3", StepTime},
    {"transport", "latency and bandwidth between two processes of this machine; a table only", "",
     TransportTable},
};

void PrintHelp(std::ostream& out) {
  out << "Rally's benchmarks.\n\n"
         "  rally-bench COMMAND [--json] [--name=value ...]\n\n"
         "--json prints one JSON value instead of a table. Commands and their own flags:\n";
  for (const Command& command : kCommands) {
    out << "\n  " << command.name << "  " << command.summary << "\n      " << command.flags << "\n";
  }
  out << "\nExample: rally-bench attention --threads=1 --json\n";
}

// LibTorch's BLAS reads variables when it is loaded, so this program starts over where they are not
// as `command` wants them, or else measures as it is. By one it may be held to an older processor.
// The other is log2 of the cycles for which its threads look for more work after a call: 26 by
// default, 27 ms of cores on which `attention` measures others then.
void FreeBlas(const std::string& command, char** argv) {
  constexpr char kProcessor[] = "OPENBLAS_CORETYPE";
  constexpr char kPatience[] = "OPENBLAS_THREAD_TIMEOUT";
  const bool impatient = command == "attention" && !InEnvironment(kPatience);
  if (!InEnvironment(kProcessor) && !impatient) return;
  if (unsetenv(kProcessor) != 0) return;
  if (impatient && setenv(kPatience, "20", 1) != 0) return;
  StartOver(argv);
}

int Main(int argc, char** argv) {
  LimitMutexChecks();
  const std::string name = argc > 1 ? argv[1] : "";
  FreeBlas(name, argv);
  const auto asks = [](const char* argument) { return std::string_view(argument) == "--help"; };
  if (name == "help" || std::any_of(argv + 1, argv + argc, asks)) {
    PrintHelp(std::cout);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    auto flags = Flags::Parse(argc, argv, 2);
    const absl::Status status = flags.ok() ? command.run(&*flags, std::cout) : flags.status();
    if (status.ok()) return 0;
    std::cerr << "rally-bench " << name << ": " << status.message() << "\n";
    return absl::IsInvalidArgument(status) ? 2 : 1;
  }
  std::cerr << (name.empty() ? "no command" : "unknown command: " + name)
            << "; see rally-bench --help\n";
  return 2;
}

}  // namespace
}  // namespace rally::bench

int main(int argc, char** argv) { return rally::bench::Main(argc, argv); }
