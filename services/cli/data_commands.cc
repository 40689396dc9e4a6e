#include "services/cli/data_commands.h"

#include <memory>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/dataset.h"
#include "common/status_macros.h"
#include "services/cli/progress.h"
#include "services/data/statistics.h"

namespace rally {
namespace {

// What was given cannot be prepared: a failure, not a usage error, of the command.
absl::Status AsFailure(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return absl::FailedPreconditionError(status.message());
}

void ShowPrepared(Console* console, const std::string& output, const PrepareResult& result,
                  bool json) {
  if (json) {
    const nlohmann::ordered_json document = {{"directory", output},
                                             {"files", result.files},
                                             {"documents", result.info.documents},
                                             {"empty_documents", result.empty_documents},
                                             {"tokens", result.info.tokens},
                                             {"vocabulary", result.info.vocabulary},
                                             {"tokenizer", result.info.tokenizer}};
    console->out() << document.dump() << "\n";
    return;
  }
  console->out() << output << ": " << result.info.documents << " documents, "
                 << ShortNumber(static_cast<double>(result.info.tokens)) << " tokens of "
                 << result.files << " file(s)";
  if (result.empty_documents > 0) {
    console->out() << "; " << result.empty_documents << " empty document(s) skipped";
  }
  console->out() << "\n";
}

nlohmann::ordered_json StatisticsJson(const DatasetInfo& info,
                                      const DatasetStatistics& statistics) {
  nlohmann::ordered_json lengths = nlohmann::ordered_json::array();
  for (const LengthQuantile& length : statistics.lengths) {
    lengths.push_back({{"quantile", length.quantile}, {"tokens", length.tokens}});
  }
  nlohmann::ordered_json entropy = nullptr;
  if (statistics.bigram_entropy.has_value()) entropy = *statistics.bigram_entropy;
  return {{"documents", statistics.documents}, {"tokens", statistics.tokens},
          {"targets", statistics.targets},     {"vocabulary", info.vocabulary},
          {"tokenizer", info.tokenizer},       {"lengths", lengths},
          {"bigram_entropy", entropy}};
}

std::string StatisticsText(const DatasetInfo& info, const DatasetStatistics& statistics) {
  std::string text =
      absl::StrFormat("documents       %d\ntokens          %d\nvocabulary      %d (%s)\n",
                      statistics.documents, statistics.tokens, info.vocabulary, info.tokenizer);
  absl::StrAppend(&text, "lengths\n");
  for (const LengthQuantile& length : statistics.lengths) {
    absl::StrAppendFormat(&text, "  %5.1f %%       %d tokens or fewer\n", 100 * length.quantile,
                          length.tokens);
  }
  if (statistics.bigram_entropy.has_value()) {
    absl::StrAppendFormat(&text, "bigram entropy  %.4f nats per token\n",
                          *statistics.bigram_entropy);
  }
  return text;
}

}  // namespace

void AddPrepareFlags(CLI::App* sub, PrepareOptions* options) {
  sub->add_option("input", options->inputs, "Files and folders")->required()->type_name("PATH");
  sub->add_option("-o,--output", options->output, "Directory of the dataset, made new")
      ->required()
      ->type_name("DIR");
  sub->add_option("--sentencepiece", options->sentencepiece_model,
                  "SentencePiece model; default: one token per byte")
      ->type_name("FILE");
  sub->add_option("--text-field", options->text_field, "Of .jsonl objects, default text")
      ->type_name("NAME");
  sub->add_option("--split-on", options->split_on, "Line that separates documents of a .txt")
      ->type_name("LINE");
}

absl::Status DataPrepareCommand(const CommandContext& context, const GlobalOptions& globals,
                                const PrepareOptions& options) {
  Console& console = *context.console;
  Interruption interruption;
  const SignalGuard guard(context.shutdown, &interruption);
  const auto on_progress = [&](const PrepareProgress& progress) {
    if (console.live()) {
      const double done = progress.bytes_total == 0 ? 1
                                                    : static_cast<double>(progress.bytes_done) /
                                                          static_cast<double>(progress.bytes_total);
      console.ShowLive(absl::StrCat(ProgressBar(done, 32), "  ", progress.documents, " documents  ",
                                    ShortNumber(static_cast<double>(progress.tokens)), " tokens"));
    }
    return interruption.reason().ok();
  };
  const absl::StatusOr<PrepareResult> result = PrepareDataset(options, on_progress);
  console.KeepLive();
  RALLY_RETURN_IF_ERROR(AsFailure(result.status()));
  ShowPrepared(&console, options.output, *result, globals.json);
  return absl::OkStatus();
}

absl::Status DataStatsCommand(const CommandContext& context, const GlobalOptions& globals,
                              const std::string& directory) {
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset, Dataset::Open(directory));
  RALLY_ASSIGN_OR_RETURN(const DatasetStatistics statistics,
                         ComputeStatistics(*dataset, [] { return true; }));
  context.console->out() << (globals.json
                                 ? absl::StrCat(StatisticsJson(dataset->info(), statistics).dump(),
                                                "\n")
                                 : StatisticsText(dataset->info(), statistics));
  return absl::OkStatus();
}

}  // namespace rally
