#include "services/cli/profile_command.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/cores.h"
#include "common/dataset.h"
#include "common/host.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "rally/v1/profile.pb.h"
#include "services/cli/local_cluster.h"
#include "services/cli/run_directory.h"
#include "services/cli/server_process.h"
#include "services/job_file/job_file.h"
#include "services/profile/profile_file.h"

namespace rally {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(50);
constexpr int kMostThreads = 4096;
constexpr int64_t kByteVocabulary = 257;  // The byte tokenizer's.

// The job's spec, its vocabulary taken from the dataset when the file has none.
absl::StatusOr<v1::JobSpec> SpecOf(const std::string& job_path) {
  v1::JobSpec spec;
  if (job_path.empty()) {
    spec.mutable_data()->set_path("none");  // A spec needs one; nothing reads it.
    spec.mutable_model()->set_vocabulary(kByteVocabulary);
    return spec;
  }
  RALLY_ASSIGN_OR_RETURN(const JobFile file, ReadJobFile(job_path));
  spec = file.spec;
  if (spec.model().vocabulary() > 0) return spec;
  const absl::StatusOr<std::unique_ptr<Dataset>> dataset = Dataset::Open(spec.data().path());
  if (!dataset.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(job_path, ": model.vocabulary: is not set, and the dataset that would say it ",
                     "cannot be read: ", dataset.status().message()));
  }
  spec.mutable_model()->set_vocabulary((*dataset)->info().vocabulary);
  return spec;
}

absl::StatusOr<v1::ProfileRequest> MakeRequest(const ProfileOptions& options,
                                               const std::string& output) {
  v1::ProfileRequest request;
  RALLY_ASSIGN_OR_RETURN(*request.mutable_spec(), SpecOf(options.job_path));
  RALLY_ASSIGN_OR_RETURN(const JobSpec spec, FromProto(request.spec()));
  const int members = options.job_path.empty() ? 1 : spec.topology().ranks();
  const int cores = UsableCores();
  const int threads = options.threads > 0 ? options.threads : std::max(1, cores / members);
  request.set_name(options.name.empty() ? HostName() : options.name);
  request.set_threads(threads);
  request.set_processes(std::clamp(cores / threads, 1, members));
  request.set_quick(options.quick);
  request.set_across_nodes(options.across_nodes);
  request.set_output(output);
  return request;
}

// Minutes of measuring should not end at a folder that is not there.
absl::Status CheckOutput(const std::string& output) {
  if (output.empty()) return absl::OkStatus();
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::absolute(output, error).parent_path();
  if (std::filesystem::is_directory(folder, error)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("--output: there is no folder \"", folder.string(), "\""));
}

absl::Status Measure(const CommandContext& context, const std::string& request_path,
                     const Interruption& interruption) {
  ServerCommand command;
  command.name = "rally-worker";
  command.program = absl::StrCat(context.program_directory, "/rally-worker");
  command.arguments = {"--role=profile", absl::StrCat("--profile-request=", request_path)};
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<ServerProcess> child,
                         ServerProcess::Spawn(std::move(command)));
  while (!child->WaitForEnd(absl::Now() + kPollInterval)) {
    RALLY_RETURN_IF_ERROR(interruption.reason());
  }
  if (child->succeeded()) return absl::OkStatus();
  return absl::UnavailableError(child->DescribeEnd());
}

absl::Status Report(const CommandContext& context, const GlobalOptions& globals,
                    const ProfileOptions& options, const CostModel& model) {
  if (!globals.json) {
    if (options.output.empty()) context.console->out() << model.Format();
    return absl::OkStatus();
  }
  nlohmann::json json = {{"name", model.profile().name}};
  if (options.output.empty()) {
    json["profile"] = model.Format();
  } else {
    json["output"] = options.output;
  }
  context.console->out() << json.dump() << "\n";
  return absl::OkStatus();
}

}  // namespace

const char kProfileExamples[] =
    "  rally profile examples/quickstart.yaml -o quickstart.profile\n"
    "  rally profile job.yaml --threads 8 --across-nodes 5e9 -o node.profile\n"
    "  rally profile --quick\n"
    "\n"
    "Times the real kernel, layers, optimizer and transport, with as many processes at work as "
    "the\n"
    "job has members and the cores allow. The job's dataset is needed only when the file leaves\n"
    "model.vocabulary to it. Other nodes are out of reach: --across-nodes says how fast they are\n"
    "reached, else they count as on this one. Takes minutes, with --quick seconds; the machine\n"
    "should have nothing else to do. The format: docs/profile-format.md.";

void AddProfileFlags(CLI::App* sub, ProfileOptions* options) {
  sub->add_option("job", options->job_path,
                  "Job file whose model is measured; default: a job file's defaults")
      ->type_name("JOB.yaml");
  sub->add_option("-o,--output", options->output, "Write here; default: standard output")
      ->type_name("FILE");
  sub->add_option("--name", options->name, "The profile's name, default this host's")
      ->type_name("WORD");
  sub->add_option("--threads", options->threads,
                  "Threads of each process; default: the cores shared out")
      ->check(CLI::Range(1, kMostThreads))
      ->type_name("N");
  sub->add_flag("--quick", options->quick, "Fewer points and samples");
  sub->add_option("--across-nodes", options->across_nodes,
                  "Bandwidth to other nodes, bytes per second; default: as on this node")
      ->check(CLI::Range(1.0, 1e15))
      ->type_name("BYTES");
}

absl::Status ProfileCommand(const CommandContext& context, const GlobalOptions& globals,
                            const ProfileOptions& options) {
  if (options.name.find_first_of(" \t\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--name: \"", options.name, "\" is not one word"));
  }
  RALLY_RETURN_IF_ERROR(CheckOutput(options.output));
  Interruption interruption;
  const SignalGuard guard(context.shutdown, &interruption);
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<RunDirectory> directory, RunDirectory::Make(""));
  const std::string output = directory->path() + "/profile";
  RALLY_ASSIGN_OR_RETURN(const v1::ProfileRequest request, MakeRequest(options, output));
  const std::string request_path = directory->path() + "/request.json";
  RALLY_RETURN_IF_ERROR(WriteFileAtomically(request_path, ToJsonLine(request)));
  RALLY_RETURN_IF_ERROR(Measure(context, request_path, interruption));
  RALLY_ASSIGN_OR_RETURN(const CostModel model, ReadProfileFile(output));
  if (!options.output.empty()) {
    RALLY_RETURN_IF_ERROR(WriteFileAtomically(options.output, model.Format()));
  }
  return Report(context, globals, options, model);
}

}  // namespace rally
