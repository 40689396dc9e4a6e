#include "services/simulate/scenario_reader.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "services/job_file/suggestion.h"

namespace rally {

ScenarioReader::ScenarioReader(const YAML::Node& mapping, std::string file, std::string path,
                               absl::Status* status)
    : mapping_(mapping), file_(std::move(file)), path_(std::move(path)), status_(*status) {
  if (ok() && !mapping_.IsMap()) Fail("", "is not a mapping of names to values");
}

bool ScenarioReader::Has(absl::string_view key) const {
  return ok() && mapping_[std::string(key)].IsDefined();
}

YAML::Node ScenarioReader::Take(absl::string_view key) {
  read_.emplace_back(key);
  return ok() ? mapping_[std::string(key)] : YAML::Node(YAML::NodeType::Undefined);
}

template <typename Number>
void ScenarioReader::ReadNumber(absl::string_view key, const YAML::Node& node, Number low,
                                Number high, const char* kind, Number* value) {
  Number number = 0;
  if (node.IsScalar() && YAML::convert<Number>::decode(node, number) && number >= low &&
      number <= high) {
    *value = number;
    return;
  }
  const std::string text = node.IsScalar() ? node.Scalar() : "what stands there";
  Fail(key, absl::StrCat(text, " is not ", kind, " in [", low, ", ", high, "]"));
}

void ScenarioReader::Read(absl::string_view key, int64_t low, int64_t high, int64_t* value) {
  const YAML::Node node = Take(key);
  if (ok() && node.IsDefined()) ReadNumber(key, node, low, high, "a whole number", value);
}

void ScenarioReader::Read(absl::string_view key, int64_t low, int64_t high, int32_t* value) {
  int64_t number = *value;
  Read(key, low, high, &number);
  *value = static_cast<int32_t>(number);
}

void ScenarioReader::Read(absl::string_view key, double low, double high, double* value) {
  const YAML::Node node = Take(key);
  if (ok() && node.IsDefined()) ReadNumber(key, node, low, high, "a number", value);
}

void ScenarioReader::Read(absl::string_view key, bool* value) {
  const YAML::Node node = Take(key);
  if (!ok() || !node.IsDefined()) return;
  if (!node.IsScalar() || !YAML::convert<bool>::decode(node, *value)) {
    Fail(key, "is neither true nor false");
  }
}

void ScenarioReader::Read(absl::string_view key, std::string* value) {
  const YAML::Node node = Take(key);
  if (!ok() || !node.IsDefined()) return;
  if (!node.IsScalar()) return Fail(key, "is not a single word or text");
  *value = node.Scalar();
}

std::vector<YAML::Node> ScenarioReader::Items(absl::string_view key) {
  const YAML::Node node = Take(key);
  std::vector<YAML::Node> items;
  if (!ok() || !node.IsDefined()) return items;
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) items.push_back(item);
    if (items.empty()) Fail(key, "is an empty list");
  } else {
    items.push_back(node);
  }
  return items;
}

void ScenarioReader::Read(absl::string_view key, int64_t low, int64_t high,
                          std::vector<int64_t>* values) {
  const std::vector<YAML::Node> items = Items(key);
  if (!items.empty()) values->clear();
  for (const YAML::Node& item : items) {
    int64_t number = 0;
    ReadNumber(key, item, low, high, "a whole number", &number);
    values->push_back(number);
  }
}

void ScenarioReader::Read(absl::string_view key, std::vector<std::string>* values) {
  const std::vector<YAML::Node> items = Items(key);
  if (!items.empty()) values->clear();
  for (const YAML::Node& item : items) {
    if (!item.IsScalar()) return Fail(key, "is not a list of words");
    values->push_back(item.Scalar());
  }
}

void ScenarioReader::Require(absl::string_view key) {
  if (ok() && !Has(key)) Fail(key, "is missing");
}

ScenarioReader ScenarioReader::Inside(absl::string_view key, const YAML::Node& mapping) const {
  return ScenarioReader(mapping, file_,
                        path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key), &status_);
}

void ScenarioReader::Finish() {
  if (!ok()) return;
  for (const auto& entry : mapping_) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    if (std::find(read_.begin(), read_.end(), key) != read_.end()) continue;
    const std::string nearest = NearestWord(key, read_);
    return Fail(key, nearest.empty()
                         ? absl::StrCat("unknown field; known are ", absl::StrJoin(read_, ", "))
                         : absl::StrCat("unknown field; did you mean ", nearest, "?"));
  }
}

void ScenarioReader::Fail(absl::string_view key, const std::string& what) {
  if (!ok()) return;
  YAML::Mark mark = mapping_.Mark();
  if (mapping_.IsMap() && !key.empty()) {
    for (const auto& entry : mapping_) {
      if (entry.first.IsScalar() && entry.first.Scalar() == key) mark = entry.first.Mark();
    }
  }
  const std::string field =
      key.empty() ? path_ : (path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key));
  status_ = absl::InvalidArgumentError(absl::StrCat(file_, ":", mark.line + 1, ": ",
                                                    field.empty() ? "the scenario" : field,
                                                    field.empty() ? " " : ": ", what));
}

}  // namespace rally
