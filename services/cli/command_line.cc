#include "services/cli/command_line.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "services/cli/chaos_command.h"
#include "services/cli/cluster_commands.h"
#include "services/cli/command_tree.h"
#include "services/cli/completion.h"
#include "services/cli/data_commands.h"
#include "services/cli/job_commands.h"
#include "services/cli/plan_command.h"
#include "services/cli/profile_command.h"
#include "services/cli/security_flags.h"
#include "services/cli/simulate_command.h"
#include "services/job_file/suggestion.h"

namespace rally {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kMostMembers = 1024;

// Everything the flags can set, and the command they chose.
struct ParsedCommand {
  GlobalOptions globals;
  RunOptions run;
  UpOptions up;
  SubmitOptions submit;
  ListOptions list;
  GetOptions get;
  WatchOptions watch;
  LogsOptions logs;
  int32_t logs_rank = -1;
  CancelOptions cancel;
  ChaosOptions chaos;
  PlanOptions plan;
  SimulateOptions simulate;
  PrepareOptions prepare;
  ProfileOptions profile;
  std::string stats_directory;
  std::string shell;
  std::function<absl::Status()> execute;
};

// Adds the commands to a parser; each leaves what is to be done in `command->execute`.
class CommandLineBuilder {
 public:
  CommandLineBuilder(const CommandContext& context, CLI::App* app, ParsedCommand* command)
      : context_(context), app_(*app), command_(*command) {}

  void Build() {
    app_.description("Trains long-context language models with disaggregated core attention.");
    app_.footer(
        "Examples:\n"
        "  rally data prepare books/ --output data/books     make a dataset of text files\n"
        "  rally run examples/quickstart.yaml                train on this machine, one command\n"
        "  rally up --workers 2 --attention-servers 2        start a cluster that stays\n"
        "  rally submit examples/quickstart.yaml --watch     train on that cluster\n"
        "  rally plan examples/quickstart.yaml               show what goes where\n"
        "\n"
        "`rally COMMAND --help` explains a command. Exit codes: 0 success, 1 failure, 2 usage or "
        "a\n"
        "malformed job file, 130 stopped by Ctrl-C.");
    AddGlobals(&app_);
    app_.require_subcommand(0, 1);
    AddRun();
    AddUp();
    AddSubmit();
    AddList();
    AddGet();
    AddWatch();
    AddLogs();
    AddCancel();
    AddChaos();
    AddPlan();
    AddSimulate();
    AddData();
    AddProfile();
    AddCompletion();
    AddVersion();
  }

 private:
  void AddGlobals(CLI::App* app) {
    app->set_help_flag("-h,--help", "Explain this command");
    app->add_option("--coordinator", command_.globals.coordinator,
                    "HOST:PORT of the coordinator, default 127.0.0.1:7070")
        ->type_name("ADDR");
    app->add_flag("--json", command_.globals.json, "Print JSON for programs");
    AddSecurityFlags(app, &command_.globals.security);
  }

  CLI::App* Add(CLI::App* parent, const char* name, const char* description, const char* examples,
                std::function<absl::Status()> execute) {
    CLI::App* sub = parent->add_subcommand(name, description);
    AddGlobals(sub);
    sub->footer(absl::StrCat("Examples:\n", examples));
    sub->callback([this, execute = std::move(execute)] { command_.execute = execute; });
    return sub;
  }

  void AddRun() {
    RunOptions& options = command_.run;
    CLI::App* sub = Add(&app_, "run", "Train a job on a cluster of its own on this machine",
                        "  rally run examples/quickstart.yaml\n"
                        "  rally run examples/laptop.yaml --json > summary.json\n"
                        "  rally run job.yaml --run-dir logs --events events.jsonl\n"
                        "  rally run job.yaml --paced examples/profiles/h100.profile "
                        "--paced-time-scale 100\n"
                        "\n"
                        "Starts a coordinator and the members the job needs, trains, shows "
                        "progress, stops them.\n"
                        "Ctrl-C lets the job write a checkpoint first; a second Ctrl-C does not.",
                        [this] { return RunCommand(context_, command_.globals, command_.run); });
    AddJobFile(sub, &options.job_path);
    AddId(sub, &options.id);
    AddClusterOptions(sub, &options.run_directory, &options.threads);
    sub->add_option("--events", options.events_path, "Write the job's events here as JSON lines")
        ->type_name("FILE");
    sub->add_option("--summary", options.summary_path, "Write the summary here as JSON")
        ->type_name("FILE");
    sub->add_option("--grace", options.grace, "Time for a checkpoint after Ctrl-C, default 30s")
        ->type_name("DURATION");
    AddPacedFlags(sub, &options.paced);
  }

  void AddUp() {
    UpOptions& options = command_.up;
    CLI::App* sub = Add(&app_, "up", "Start a cluster on this machine and keep it until Ctrl-C",
                        "  rally up --workers 2 --attention-servers 2\n"
                        "  rally up --listen 127.0.0.1:0 --json",
                        [this] { return UpCommand(context_, command_.globals, command_.up); });
    sub->add_option("--workers", options.workers, "Model workers, default 1")
        ->check(CLI::Range(1, kMostMembers))
        ->type_name("N");
    sub->add_option("--attention-servers", options.attention_servers,
                    "Dedicated attention servers, default 0")
        ->check(CLI::Range(0, kMostMembers))
        ->type_name("N");
    sub->add_option("--listen", options.listen,
                    "Address for RPC, default 127.0.0.1:7070; port 0: "
                    "any free one")
        ->type_name("ADDR");
    sub->add_option("--http", options.http, "Address for metrics and health, default 127.0.0.1:0")
        ->type_name("ADDR");
    AddClusterOptions(sub, &options.run_directory, &options.threads);
  }

  void AddSubmit() {
    SubmitOptions& options = command_.submit;
    CLI::App* sub =
        Add(&app_, "submit", "Queue a job on a running cluster",
            "  rally submit examples/quickstart.yaml --watch\n"
            "  rally submit job.yaml --id tuesday --coordinator=10.0.0.5:7070\n"
            "  rally submit job.yaml --validate-only\n"
            "\n"
            "The same id with the same job file is the same job: repeating a submission is safe.",
            [this] { return SubmitCommand(context_, command_.globals, command_.submit); });
    AddJobFile(sub, &options.job_path);
    AddId(sub, &options.id);
    sub->add_flag("--validate-only", options.validate_only, "Check everything, queue nothing");
    sub->add_flag("--watch", options.watch, "Follow the job to its end");
  }

  void AddList() {
    ListOptions& options = command_.list;
    CLI::App* sub = Add(&app_, "list", "List jobs, newest first",
                        "  rally list\n"
                        "  rally list --phase running --phase queued\n"
                        "  rally list --prefix exp- --json",
                        [this] { return ListCommand(context_, command_.globals, command_.list); });
    sub->add_option("--phase", options.phases, "Only jobs in this phase; may be repeated")
        ->type_name("PHASE");
    sub->add_option("--prefix", options.id_prefix, "Only jobs whose id starts with this")
        ->type_name("TEXT");
  }

  void AddGet() {
    GetOptions& options = command_.get;
    CLI::App* sub = Add(&app_, "get", "Show one job: status, conditions, job file",
                        "  rally get my-job\n"
                        "  rally get my-job --yaml > again.yaml",
                        [this] { return GetCommand(context_, command_.globals, command_.get); });
    AddJobId(sub, &options.id);
    sub->add_flag("--yaml", options.yaml, "Print the job file alone");
  }

  void AddWatch() {
    WatchOptions& options = command_.watch;
    CLI::App* sub =
        Add(&app_, "watch", "Follow a job to its end",
            "  rally watch my-job\n"
            "  rally watch my-job --json --after 120\n"
            "\n"
            "Exit code 0 when the job succeeded, 1 when it failed or was cancelled.",
            [this] { return WatchCommand(context_, command_.globals, command_.watch); });
    AddJobId(sub, &options.id);
    sub->add_option("--after", options.after, "With --json: only events after this number")
        ->check(CLI::NonNegativeNumber)
        ->type_name("N");
  }

  void AddLogs() {
    LogsOptions& options = command_.logs;
    CLI::App* sub = Add(&app_, "logs", "Print the log lines of a job's members",
                        "  rally logs my-job\n"
                        "  rally logs my-job -f --rank 1",
                        [this] {
                          if (command_.logs_rank >= 0) command_.logs.rank = command_.logs_rank;
                          return LogsCommand(context_, command_.globals, command_.logs);
                        });
    AddJobId(sub, &options.id);
    sub->add_flag("-f,--follow", options.follow, "Wait for new lines until the job has ended");
    sub->add_option("--rank", command_.logs_rank, "Only the lines of this rank")
        ->check(CLI::NonNegativeNumber)
        ->type_name("R");
  }

  void AddCancel() {
    CancelOptions& options = command_.cancel;
    CLI::App* sub =
        Add(&app_, "cancel", "Ask a job to stop",
            "  rally cancel my-job\n"
            "  rally cancel my-job --grace 2m\n"
            "\n"
            "The job writes a checkpoint and stops at its next step; after the grace period it is "
            "stopped at once.",
            [this] { return CancelCommand(context_, command_.globals, command_.cancel); });
    AddJobId(sub, &options.id);
    sub->add_option("--grace", options.grace, "Time to stop in peace, at most 1h, default 30s")
        ->type_name("DURATION");
  }

  void AddChaos() {
    CLI::App* sub =
        Add(&app_, "chaos", "Strike a job with faults and see what they cost", kChaosExamples,
            [this] { return ChaosCommand(context_, command_.globals, command_.chaos); });
    AddChaosFlags(sub, &command_.chaos);
  }

  void AddPlan() {
    CLI::App* sub = Add(&app_, "plan", "Show how documents and attention are spread", kPlanExamples,
                        [this] { return PlanCommand(context_, command_.globals, command_.plan); });
    AddPlanFlags(sub, &command_.plan);
  }

  void AddSimulate() {
    CLI::App* sub =
        Add(&app_, "simulate", "Predict training steps on accelerators that are not here",
            kSimulateExamples,
            [this] { return SimulateCommand(context_, command_.globals, command_.simulate); });
    AddSimulateFlags(sub, &command_.simulate);
  }

  void AddData() {
    CLI::App* data = app_.add_subcommand("data", "Make and inspect datasets");
    AddGlobals(data);
    data->footer("`rally data prepare --help` shows how to make one.");
    data->require_subcommand(1);
    CLI::App* prepare =
        Add(data, "prepare", "Turn .txt and .jsonl files into a tokenised dataset",
            "  rally data prepare books/ --output data/books\n"
            "  rally data prepare corpus.jsonl --text-field body --output data/corpus\n"
            "  rally data prepare all.txt --split-on '<|end|>' --output data/all\n"
            "\n"
            "A .txt file is a document, a line of a .jsonl file is one; folders are searched.",
            [this] {
              command_.prepare.sentencepiece_program =
                  absl::StrCat(context_.program_directory, "/rally-sentencepiece");
              return DataPrepareCommand(context_, command_.globals, command_.prepare);
            });
    AddPrepareFlags(prepare, &command_.prepare);
    CLI::App* stats = Add(
        data, "stats", "Show documents, lengths and bigram entropy of a dataset",
        "  rally data stats data/books\n"
        "  rally data stats data/books --json",
        [this] { return DataStatsCommand(context_, command_.globals, command_.stats_directory); });
    stats->add_option("dataset", command_.stats_directory, "Directory of the dataset")
        ->required()
        ->type_name("DIR");
  }

  void AddProfile() {
    CLI::App* sub =
        Add(&app_, "profile", "Measure what a job's model takes on this machine", kProfileExamples,
            [this] { return ProfileCommand(context_, command_.globals, command_.profile); });
    AddProfileFlags(sub, &command_.profile);
  }

  void AddCompletion() {
    CLI::App* sub = Add(&app_, "completion", "Print a completion script for a shell",
                        "  source <(rally completion bash)\n"
                        "  rally completion fish > ~/.config/fish/completions/rally.fish",
                        [this] { return PrintCompletion(); });
    sub->add_option("shell", command_.shell, "bash, zsh or fish")->required()->type_name("SHELL");
  }

  void AddVersion() {
    Add(&app_, "version", "Print the version", "  rally version --json", [this] {
      context_.console->out() << (command_.globals.json ? "{\"version\":\"" RALLY_VERSION "\"}\n"
                                                        : "rally " RALLY_VERSION "\n");
      return absl::OkStatus();
    });
  }

  void AddJobFile(CLI::App* sub, std::string* path) {
    sub->add_option("job", *path, "Job file, see examples/ and docs/job-file.md")
        ->required()
        ->type_name("JOB.yaml");
  }

  void AddId(CLI::App* sub, std::string* id) {
    sub->add_option("--id", *id, "The job's id; default: the file's, or its name and the time")
        ->type_name("ID");
  }

  void AddJobId(CLI::App* sub, std::string* id) {
    sub->add_option("id", *id, "The job's id")->required()->type_name("ID");
  }

  void AddClusterOptions(CLI::App* sub, std::string* run_directory, int* threads) {
    sub->add_option("--run-dir", *run_directory,
                    "Keep logs and the store here; default: a temporary directory")
        ->type_name("DIR");
    sub->add_option("--threads", *threads, "Threads of each member; default: the cores shared out")
        ->check(CLI::Range(1, kMostMembers))
        ->type_name("N");
  }

  absl::Status PrintCompletion() {
    CommandTree tree = TreeOf(app_);
    tree.name = "rally";
    RALLY_ASSIGN_OR_RETURN(const std::string script, CompletionScript(tree, command_.shell));
    context_.console->out() << script;
    return absl::OkStatus();
  }

  const CommandContext& context_;
  CLI::App& app_;
  ParsedCommand& command_;
};

// "rally data prepare", as far as the arguments named commands.
std::string ChosenCommand(const CLI::App& app) {
  std::string name = "rally";
  const CLI::App* level = &app;
  while (!level->get_subcommands().empty()) {
    level = level->get_subcommands().front();
    absl::StrAppend(&name, " ", level->get_name());
  }
  return name;
}

int ReportParseError(const CLI::App& app, const CLI::ParseError& error, Console* console) {
  if (error.get_exit_code() == 0) return app.exit(error, console->out(), console->err());  // Help.
  const std::string command = ChosenCommand(app);
  console->err() << command << ": " << error.what() << "\nTry `" << command << " --help`.\n";
  return kUsage;
}

int ExitCode(const absl::Status& status, const ShutdownSignal& shutdown) {
  if (status.ok()) return 0;
  if (shutdown.requested()) return kSignalBase + shutdown.signal_number();
  return absl::IsInvalidArgument(status) ? kUsage : kFailure;
}

}  // namespace

int RunCommandLine(int argc, const char* const* argv, const CommandContext& context) {
  CLI::App app("", "rally");
  ParsedCommand command;
  CommandLineBuilder(context, &app, &command).Build();
  Console& console = *context.console;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportParseError(app, error, &console);
  }
  if (command.execute == nullptr) {
    console.err() << app.help();
    return kUsage;
  }
  const SuddenEnd sudden_end(context.shutdown);
  const absl::Status status = command.execute();
  if (!status.ok()) {
    console.err() << ChosenCommand(app) << ": " << status.message() << std::endl;
  }
  return ExitCode(status, *context.shutdown);
}

}  // namespace rally
