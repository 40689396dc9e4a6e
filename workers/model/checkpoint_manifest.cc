#include "workers/model/checkpoint_manifest.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

using Json = nlohmann::ordered_json;  // Keeps the order, so that a text read is written the same.

constexpr int kVersion = 2;

std::string Hexadecimal(XXH64_hash_t hash) { return absl::StrFormat("%016x", hash); }

std::string TextOf(const Json& json) { return json.dump(2) + "\n"; }

std::string ChecksumOf(const std::string& text) {
  return Hexadecimal(XXH3_64bits(text.data(), text.size()));
}

// Throws nlohmann's exceptions when an entry is missing or of another type.
CheckpointManifest FromJson(const Json& json) {
  CheckpointManifest manifest;
  const Json& data = json.at("data_position");
  manifest.position.step = json.at("step").get<int64_t>();
  manifest.position.data = {data.at("pass").get<int64_t>(), data.at("index").get<int64_t>(),
                            data.at("token").get<int64_t>()};
  manifest.files = json.at("xxh3").get<FileChecksums>();
  return manifest;
}

absl::Status CheckManifestChecksum(const std::string& path, Json json) {
  const auto found = json.find("manifest_xxh3");
  if (found == json.end() || !found->is_string()) {
    return absl::DataLossError(absl::StrCat(path, " is incomplete: it has no manifest_xxh3"));
  }
  const auto expected = found->get<std::string>();
  json.erase("manifest_xxh3");
  if (ChecksumOf(TextOf(json)) == expected) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, " is damaged: its XXH3 is ",
                                          ChecksumOf(TextOf(json)), ", not ", expected));
}

bool IsFileName(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos;
}

}  // namespace

absl::StatusOr<std::string> FileChecksum(const std::string& path, const StillWanted& wanted) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "cannot open", path);
  const absl::Cleanup close_file = [fd] { close(fd); };
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> block(kWantedBytes);
  while (true) {
    if (wanted != nullptr) RALLY_RETURN_IF_ERROR(wanted());
    const ssize_t got = read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "cannot read", path);
    if (got == 0) return Hexadecimal(XXH3_64bits_digest(state.get()));
    XXH3_64bits_update(state.get(), block.data(), static_cast<size_t>(got));
  }
}

absl::Status WriteCheckpointManifest(const std::string& folder,
                                     const CheckpointManifest& manifest) {
  const DataPosition& data = manifest.position.data;
  Json json;
  json["format"] = "rally-checkpoint";
  json["version"] = kVersion;
  json["step"] = manifest.position.step;
  json["data_position"] = {{"pass", data.pass}, {"index", data.index}, {"token", data.token}};
  json["xxh3"] = manifest.files;
  json["manifest_xxh3"] = ChecksumOf(TextOf(json));
  return WriteFileAtomically(absl::StrCat(folder, "/", kManifestFile), TextOf(json));
}

absl::StatusOr<CheckpointManifest> ReadCheckpointManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifestFile);
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("format", Json()) != "rally-checkpoint") {
    return absl::DataLossError(absl::StrCat(path, " is not a checkpoint's manifest"));
  }
  const Json version = json.value("version", Json());
  if (version != 1 && version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " has version ", version.dump(), "; this program reads 1 and 2"));
  }
  if (version == kVersion) RALLY_RETURN_IF_ERROR(CheckManifestChecksum(path, json));
  try {
    CheckpointManifest manifest = FromJson(json);
    const DataPosition& data = manifest.position.data;
    if (std::min({manifest.position.step, data.pass, data.index, data.token}) < 0) {
      return absl::DataLossError(absl::StrCat(path, " has a negative position"));
    }
    return manifest;
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat(path, " is incomplete: ", error.what()));
  }
}

absl::Status VerifyCheckpointFiles(const std::string& folder, const CheckpointManifest& manifest) {
  for (const auto& [name, expected] : manifest.files) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (!IsFileName(name)) {
      return absl::DataLossError(absl::StrCat(path, " is not a file of a checkpoint"));
    }
    RALLY_ASSIGN_OR_RETURN(const std::string found, FileChecksum(path));
    if (found == expected) continue;
    return absl::DataLossError(
        absl::StrCat(path, " is damaged: its XXH3 is ", found, ", the manifest says ", expected));
  }
  return absl::OkStatus();
}

std::string ShardRecordPath(const std::string& folder, size_t shard, size_t shards) {
  return absl::StrFormat("%s/shard-%05d-of-%05d.json", folder, shard + 1, shards);
}

absl::Status WriteShardRecord(const std::string& path, const absl::StatusOr<FileChecksums>& files) {
  Json json;
  if (files.ok()) {
    json["xxh3"] = *files;
  } else {
    json["error"] = {{"code", files.status().raw_code()},
                     {"message", std::string(files.status().message())}};
  }
  const auto replace = Json::error_handler_t::replace;  // A path need not be UTF-8.
  return WriteFileAtomically(path, json.dump(2, ' ', false, replace) + "\n");
}

absl::StatusOr<FileChecksums> ReadShardRecord(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  try {
    if (!json.contains("error")) return json.at("xxh3").get<FileChecksums>();
    const Json& error = json.at("error");
    const auto code = static_cast<absl::StatusCode>(error.at("code").get<int>());
    // NotFound would say that the record is still to come.
    return absl::Status(code == absl::StatusCode::kNotFound ? absl::StatusCode::kUnavailable : code,
                        error.at("message").get<std::string>());
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: ", error.what()));
  }
}

}  // namespace rally
