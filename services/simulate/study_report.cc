#include "services/simulate/study_report.h"

#include <algorithm>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

namespace rally {
namespace {

using Json = nlohmann::ordered_json;

double ShareOf(const StudyRow& row, Activity activity) {
  return row.forecast.shares[static_cast<size_t>(activity)];
}

Json OrNull(bool known, double value) { return known ? Json(value) : Json(nullptr); }

Json RowJson(const StudyRow& row, absl::string_view baseline) {
  const bool ok = row.status.ok();
  const TrainingSetup& setup = row.setup;
  const SetupForecast& forecast = row.forecast;
  Json json = {{"model", row.model},
               {"setting", row.setting},
               {"distribution", row.distribution},
               {"context", setup.context},
               {"gpus", setup.gpus},
               {"planner", row.planner},
               {"step_seconds", OrNull(ok, forecast.step_seconds)}};
  if (!baseline.empty()) {
    json[absl::StrCat("speedup_over_", baseline)] = OrNull(row.speedup > 0.0, row.speedup);
  }
  json["batch_tokens"] = setup.batch_tokens;
  json["tensor"] = ok ? Json(setup.tensor) : Json(nullptr);
  json["pipeline"] = ok ? Json(setup.pipeline) : Json(nullptr);
  json["dedicated"] = ok ? Json(setup.dedicated) : Json(nullptr);
  json["context_parallel"] = ok ? Json(setup.options.context_parallel) : Json(nullptr);
  json["chunk_tokens"] = ok ? Json(setup.chunk_tokens) : Json(nullptr);
  json["tokens_per_second"] = OrNull(ok, forecast.tokens_per_second);
  json["flop_utilisation"] = OrNull(ok && setup.peak_flops > 0.0, forecast.flop_utilisation);
  for (int a = 0; a < kActivities; ++a) {
    const auto activity = static_cast<Activity>(a);
    json[absl::StrCat("share_", ActivityName(activity))] = OrNull(ok, ShareOf(row, activity));
  }
  json["same_node_bytes_per_gpu"] = OrNull(ok, forecast.link_bytes[1]);
  json["across_nodes_bytes_per_gpu"] = OrNull(ok, forecast.link_bytes[2]);
  json["activation_bytes"] = OrNull(ok, forecast.activation_bytes);
  json["key_value_bytes"] = OrNull(ok, forecast.key_value_bytes);
  json["memory_bytes"] = OrNull(ok, forecast.memory_bytes);
  json["error"] = ok ? Json(nullptr) : Json(std::string(row.status.message()));
  return json;
}

std::string Percent(double share) { return absl::StrFormat("%.1f", 100 * share); }

std::string Tokens(int64_t tokens) {
  return tokens % 1024 == 0 ? absl::StrCat(tokens / 1024, "K") : absl::StrCat(tokens);
}

std::vector<std::string> TableRow(const StudyRow& row) {
  const TrainingSetup& setup = row.setup;
  std::vector<std::string> cells = {
      row.setting, row.model, row.distribution, Tokens(setup.context), absl::StrCat(setup.gpus),
      row.planner};
  if (!row.status.ok()) {
    cells.push_back("-");
    return cells;
  }
  const SetupForecast& forecast = row.forecast;
  cells.push_back(absl::StrFormat("%.3f", forecast.step_seconds));
  cells.push_back(row.speedup > 0.0 ? absl::StrFormat("%.3f", row.speedup) : "-");
  cells.push_back(absl::StrFormat("%dx%dx%d", setup.tensor, setup.pipeline, setup.replicas()) +
                  (setup.dedicated > 0 ? absl::StrCat("+", setup.dedicated) : ""));
  cells.push_back(setup.options.context_parallel > 0 ? absl::StrCat(setup.options.context_parallel)
                                                     : "-");
  cells.push_back(Tokens(setup.chunk_tokens));
  cells.push_back(setup.peak_flops > 0.0 ? Percent(forecast.flop_utilisation) : "-");
  for (const Activity activity :
       {Activity::kImbalance, Activity::kCommunication, Activity::kBubble, Activity::kReduction}) {
    cells.push_back(Percent(ShareOf(row, activity)));
  }
  cells.push_back(absl::StrFormat("%.0f", forecast.memory_bytes / 1e9));
  return cells;
}

}  // namespace

std::string StudyTable(absl::Span<const StudyRow> rows, absl::string_view baseline) {
  std::vector<std::vector<std::string>> table = {
      {"setting", "model", "documents", "context", "gpus", "planner", "step s",
       baseline.empty() ? "-" : absl::StrCat("over ", baseline), "tp x pp x dp", "cp", "chunk",
       "MFU %", "imbalance %", "comm %", "bubble %", "reduce %", "GB"}};
  for (const StudyRow& row : rows) table.push_back(TableRow(row));
  std::vector<size_t> widths(table[0].size());
  for (const auto& cells : table) {
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  constexpr size_t kWords = 6;  // The first columns are words, to the left.
  std::string text;
  for (const auto& cells : table) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string fill(widths[i] - cells[i].size(), ' ');
      absl::StrAppend(&line, i < kWords ? cells[i] + fill : fill + cells[i], "  ");
    }
    absl::StrAppend(&text, line.substr(0, line.find_last_not_of(' ') + 1), "\n");
  }
  for (const StudyRow& row : rows) {
    if (row.status.ok()) continue;
    absl::StrAppend(&text, row.setting, " ", row.model, " ", row.distribution, " ",
                    Tokens(row.setup.context), " ", row.setup.gpus, " ", row.planner, ": ",
                    std::string(row.status.message()), "\n");
  }
  return text;
}

std::string StudyJson(absl::Span<const StudyRow> rows, absl::string_view baseline) {
  Json array = Json::array();
  for (const StudyRow& row : rows) array.push_back(RowJson(row, baseline));
  return absl::StrCat(array.dump(1), "\n");
}

std::string StudyCsv(absl::Span<const StudyRow> rows, absl::string_view baseline) {
  std::string text;
  for (const StudyRow& row : rows) {
    std::vector<std::string> names;
    std::vector<std::string> values;
    const Json json = RowJson(row, baseline);
    for (const auto& [name, value] : json.items()) {
      names.push_back(name);
      values.push_back(value.is_null() ? "" : value.dump());
    }
    if (text.empty()) absl::StrAppend(&text, absl::StrJoin(names, ","), "\n");
    absl::StrAppend(&text, absl::StrJoin(values, ","), "\n");
  }
  return text;
}

}  // namespace rally
