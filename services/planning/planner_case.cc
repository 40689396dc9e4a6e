#include "services/planning/planner_case.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMostServers = 1024;
constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();  // Positions are exact below.
constexpr size_t kShownText = 40;

std::string Shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= kShownText ? text : absl::StrCat(text.substr(0, kShownText), "...");
}

absl::Status Refuse(absl::string_view field, const Json* value, absl::string_view accepted) {
  return absl::InvalidArgumentError(
      value == nullptr ? absl::StrCat(field, ": missing; accepted is ", accepted)
                       : absl::StrCat(field, ": ", Shown(*value), " is not ", accepted));
}

const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

absl::StatusOr<int64_t> WholeNumber(absl::string_view field, const Json* value, int64_t most) {
  const bool whole = value != nullptr && value->is_number_integer();
  const bool in_range =
      whole &&
      (value->is_number_unsigned()
           ? value->get<uint64_t>() >= 1 && value->get<uint64_t>() <= static_cast<uint64_t>(most)
           : value->get<int64_t>() >= 1 && value->get<int64_t>() <= most);
  if (in_range) return value->get<int64_t>();
  return Refuse(field, value, absl::StrCat("a whole number in [1, ", most, "]"));
}

// The documents in order; `space` tokens are to be filled.
absl::StatusOr<std::vector<Document>> Documents(const Json* sequences, int64_t space) {
  constexpr char kField[] = "document_tokens";
  if (sequences == nullptr || !sequences->is_array()) {
    return Refuse(kField, sequences, "an array of arrays of document lengths");
  }
  std::vector<Document> documents;
  int64_t total = 0;
  for (size_t i = 0; i < sequences->size(); ++i) {
    const Json& sequence = (*sequences)[i];
    const std::string place = absl::StrCat(kField, "[", i, "]");
    if (!sequence.is_array()) return Refuse(place, &sequence, "an array of document lengths");
    for (size_t j = 0; j < sequence.size(); ++j) {
      RALLY_ASSIGN_OR_RETURN(const int64_t tokens, WholeNumber(absl::StrCat(place, "[", j, "]"),
                                                               &sequence[j], kMostTokens));
      documents.push_back({static_cast<int64_t>(documents.size()), 0, tokens, tokens - 1});
      total += tokens;
    }
  }
  if (total == space) return documents;
  return absl::InvalidArgumentError(absl::StrCat(
      kField, ": ", total, " tokens in all; accepted are servers * tokens_per_worker, ", space));
}

absl::StatusOr<std::optional<double>> PublishedBytes(const Json* published) {
  if (published == nullptr) return std::nullopt;
  constexpr char kField[] = "distca[\"0.05\"].forward_bytes_per_token";
  const Json* figures = published->is_object() ? Find(*published, "0.05") : nullptr;
  if (!published->is_object() || (figures != nullptr && !figures->is_object())) {
    return Refuse("distca", published, "an object of objects by tolerance");
  }
  if (figures == nullptr) return std::nullopt;
  const Json* bytes = Find(*figures, "forward_bytes_per_token");
  if (bytes != nullptr && bytes->is_number() && bytes->get<double>() > 0.0) {
    return bytes->get<double>();
  }
  return Refuse(kField, bytes, "a number above 0");
}

absl::StatusOr<PlannerCase> ParseCase(const Json& object) {
  PlannerCase result;
  const Json* name = Find(object, "name");
  if (name == nullptr || !name->is_string() || name->get<std::string>().empty()) {
    return Refuse("name", name, "a text that is not empty");
  }
  result.name = name->get<std::string>();
  RALLY_ASSIGN_OR_RETURN(const int64_t servers,
                         WholeNumber("servers", Find(object, "servers"), kMostServers));
  RALLY_ASSIGN_OR_RETURN(
      const int64_t chunk,
      WholeNumber("tokens_per_worker", Find(object, "tokens_per_worker"), kMostTokens));
  if (servers * chunk > kMostTokens) {
    return absl::InvalidArgumentError(absl::StrCat("tokens_per_worker: ", chunk, " on ", servers,
                                                   " servers is above ", kMostTokens,
                                                   " tokens in all"));
  }
  result.servers = static_cast<int32_t>(servers);
  result.shape = {chunk, servers, servers * chunk};
  RALLY_ASSIGN_OR_RETURN(std::vector<Document> documents,
                         Documents(Find(object, "document_tokens"), servers * chunk));
  result.batch.groups = {std::move(documents)};
  RALLY_ASSIGN_OR_RETURN(result.published_bytes_per_token, PublishedBytes(Find(object, "distca")));
  return result;
}

// What a case is called in messages: its name if it has one, else its place.
std::string CaseName(const Json& object, size_t index) {
  const Json* name = object.is_object() ? Find(object, "name") : nullptr;
  return name != nullptr && name->is_string() ? Shown(*name) : absl::StrCat("[", index, "]");
}

}  // namespace

PlanInput PlannerCase::Input() const {
  PlanInput input;
  input.batch = &batch;
  input.shape = shape;
  input.topology = {.workers = servers, .in_place = true};
  input.model = {.layers = 32,
                 .hidden_size = 4096,
                 .feed_forward_size = 14336,
                 .heads = 32,
                 .kv_heads = 8,
                 .head_dim = 128,
                 .vocabulary = 128256};
  input.ping_pong = false;
  return input;
}

absl::StatusOr<std::vector<PlannerCase>> ParsePlannerCases(absl::string_view text,
                                                           absl::string_view name) {
  Json file;
  try {
    file = Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not JSON: ", error.what()));
  }
  if (!file.is_array() || file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", Shown(file), " is not an array of cases"));
  }
  std::vector<PlannerCase> cases;
  for (size_t i = 0; i < file.size(); ++i) {
    const std::string place = absl::StrCat(name, ": case ", CaseName(file[i], i));
    if (!file[i].is_object()) return Annotate(Refuse("case", &file[i], "an object"), place);
    absl::StatusOr<PlannerCase> parsed = ParseCase(file[i]);
    if (!parsed.ok()) return Annotate(parsed.status(), place);
    const bool twice = std::any_of(cases.begin(), cases.end(), [&parsed](const PlannerCase& other) {
      return other.name == parsed->name;
    });
    if (twice) return absl::InvalidArgumentError(absl::StrCat(place, ": name: given twice"));
    cases.push_back(*std::move(parsed));
  }
  return cases;
}

absl::StatusOr<std::vector<PlannerCase>> ReadPlannerCases(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParsePlannerCases(text, path);
}

}  // namespace rally
