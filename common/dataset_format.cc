#include "common/dataset_format.h"

#include <limits>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

using Json = nlohmann::json;

// Reads typed fields of a manifest; the first wrong one is the status.
class FieldReader {
 public:
  FieldReader(const Json& json, const std::string& path) : json_(json), path_(path) {}

  int64_t Integer(const char* field, int64_t least, int64_t most) {
    auto found = json_.find(field);
    if (found == json_.end() || !found->is_number_integer()) {
      return Fail(field, "an integer"), least;
    }
    const bool too_big = found->is_number_unsigned() &&
                         found->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
    if (too_big || found->get<int64_t>() < least || found->get<int64_t>() > most) {
      return Fail(field, absl::StrCat("between ", least, " and ", most)), least;
    }
    return found->get<int64_t>();
  }

  std::string String(const char* field) {
    auto found = json_.find(field);
    if (found == json_.end() || !found->is_string()) return Fail(field, "a string"), "";
    return found->get<std::string>();
  }

  uint64_t Checksum(const char* field) {
    const std::string text = String(field);
    uint64_t value = 0;
    if (text.size() != 16 || !absl::SimpleHexAtoi(text, &value)) Fail(field, "16 hex digits");
    return value;
  }

  void Require(bool good, const char* field, const std::string& expected) {
    if (!good) Fail(field, expected);
  }

  const absl::Status& status() const { return status_; }

 private:
  void Fail(const char* field, const std::string& expected) {
    if (!status_.ok()) return;
    auto found = json_.find(field);
    const std::string is =
        found == json_.end()
            ? "missing"
            : found->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80);
    status_ = absl::DataLossError(
        absl::StrCat(path_, ": field \"", field, "\" should be ", expected, ", is ", is));
  }

  const Json& json_;
  const std::string& path_;
  absl::Status status_;
};

}  // namespace

int32_t TokenBytes(int64_t vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

uint64_t TokensFileSize(const DatasetInfo& info) {
  return sizeof(DatasetHeader) + (static_cast<uint64_t>(info.documents) + 1) * sizeof(uint64_t) +
         static_cast<uint64_t>(info.tokens) * static_cast<uint64_t>(info.token_bytes);
}

std::string FormatChecksum(uint64_t checksum) {
  return absl::StrCat(absl::Hex(checksum, absl::kZeroPad16));
}

std::string FormatManifest(const DatasetManifest& manifest) {
  nlohmann::ordered_json json;
  json["format"] = "rally-dataset";
  json["version"] = kDatasetVersion;
  json["documents"] = manifest.info.documents;
  json["tokens"] = manifest.info.tokens;
  json["token_bytes"] = manifest.info.token_bytes;
  json["vocabulary"] = manifest.info.vocabulary;
  json["tokenizer"] = manifest.info.tokenizer;
  json["end_of_document"] = manifest.info.end_of_document;
  json["tokens_xxh3"] = FormatChecksum(manifest.tokens_xxh3);
  json["index_xxh3"] = FormatChecksum(manifest.index_xxh3);
  return json.dump(2) + "\n";
}

absl::StatusOr<DatasetManifest> ReadManifest(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": not a JSON object (", text.size(), " bytes)"));
  }
  constexpr int64_t kMostTokens = int64_t{1} << 48;
  FieldReader reader(json, path);
  reader.Require(reader.String("format") == "rally-dataset", "format", "\"rally-dataset\"");
  reader.Integer("version", kDatasetVersion, kDatasetVersion);
  DatasetManifest manifest;
  DatasetInfo& info = manifest.info;
  info.documents = reader.Integer("documents", 1, kMostTokens);
  info.tokens = reader.Integer("tokens", info.documents, kMostTokens);
  info.vocabulary = reader.Integer("vocabulary", 1, int64_t{1} << 31);
  info.token_bytes = static_cast<int32_t>(reader.Integer("token_bytes", 2, 4));
  reader.Require(info.token_bytes == 4 || (info.token_bytes == 2 && info.vocabulary <= 65536),
                 "token_bytes", "2, or 4, and wide enough for the vocabulary");
  info.tokenizer = reader.String("tokenizer");
  info.end_of_document =
      static_cast<int32_t>(reader.Integer("end_of_document", 0, info.vocabulary - 1));
  manifest.tokens_xxh3 = reader.Checksum("tokens_xxh3");
  manifest.index_xxh3 = reader.Checksum("index_xxh3");
  RALLY_RETURN_IF_ERROR(reader.status());
  return manifest;
}

}  // namespace rally
