// Fuzzes checkpoints: whatever the files of a checkpoint hold, it is refused or read.
//
// The first byte says which file of a good checkpoint is replaced by the rest of the input: the
// weights, the optimizer's state, the model's configuration, or the manifest. The checksums in the
// manifest are then set right, since no mutation finds those.
#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "tests/fuzz/fuzz_check.h"
#include "tests/fuzz/fuzz_folder.h"
#include "workers/model/checkpoint.h"
#include "workers/model/checkpoint_writer.h"
#include "workers/model/weight_layout.h"

namespace rally::test {
namespace {

constexpr std::array<const char*, 4> kFiles = {"model.safetensors", "optimizer.safetensors",
                                               "config.json", "trainer.json"};

class CheckpointFuzz {
 public:
  CheckpointFuzz() {
    spec_.model.layers = 1;
    spec_.model.hidden_size = 8;
    spec_.model.feed_forward_size = 8;
    spec_.model.heads = 1;
    spec_.model.kv_heads = 1;
    spec_.model.head_dim = 32;
    spec_.model.vocabulary = 5;
    spec_.checkpoint.directory = folder_.path();
    layout_ = LayOutWeights(spec_.model);
    for (std::vector<float>& array : arrays_) array.resize(layout_.elements);
    absl::Status written;
    {
      CheckpointWriterOptions options;
      options.spec = spec_;
      CheckpointWriter writer(
          options, [&written](const CheckpointOutcome& outcome) { written = outcome.status; });
      written = writer.Start(Arrays(), {7, {0, 3, 0}});
      writer.AwaitIdle(absl::InfiniteFuture());
    }
    FuzzCheck(written.ok(), "a checkpoint is written: " + written.ToString());
    name_ = CheckpointPath({}, 7);
    for (const char* file : kFiles) good_.push_back(Contents(file));
  }

  void Check(size_t which, absl::string_view contents) {
    folder_.Write(PathOf(kFiles[which]), contents);
    SetChecksum(which, contents);
    const auto restored = ReadNewestCheckpoint(spec_, layout_, Arrays());
    FuzzCheck(!restored.ok() || restored->position.step >= 0, "a step is not negative");
    folder_.Write(PathOf(kFiles[which]), good_[which]);
    folder_.Write(PathOf(kFiles[3]), good_[3]);
  }

 private:
  CheckpointArrays Arrays() {
    return {absl::MakeSpan(arrays_[0]), absl::MakeSpan(arrays_[1]), absl::MakeSpan(arrays_[2])};
  }
  // Of file `which` in the manifest; of a fuzzed manifest all, where it has a place for them.
  void SetChecksum(size_t which, absl::string_view contents) {
    nlohmann::json manifest =
        nlohmann::json::parse(which == 3 ? std::string(contents) : good_[3], nullptr, false);
    if (!manifest.is_object() || !manifest["xxh3"].is_object()) return;
    for (size_t file = 0; file < 3; ++file) {
      const std::string text = file == which ? std::string(contents) : good_[file];
      manifest["xxh3"][kFiles[file]] =
          absl::StrFormat("%016x", XXH3_64bits(text.data(), text.size()));
    }
    // A manifest of version 1 has no checksum of its own.
    if (manifest.erase("manifest_xxh3") > 0) manifest["version"] = 1;
    folder_.Write(PathOf(kFiles[3]), manifest.dump());
  }
  std::string PathOf(const char* file) const { return name_ + "/" + file; }
  std::string Contents(const char* file) const {
    std::stringstream text;
    text << std::ifstream(folder_.path() + PathOf(file), std::ios::binary).rdbuf();
    return text.str();
  }

  FuzzFolder folder_;
  JobSpec spec_;
  WeightLayout layout_;
  std::array<std::vector<float>, 3> arrays_;
  std::string name_;  // "/step-..."
  std::vector<std::string> good_;
};

}  // namespace
}  // namespace rally::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static rally::test::CheckpointFuzz fuzz;
  if (size == 0) return 0;
  fuzz.Check(data[0] % rally::test::kFiles.size(),
             absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
