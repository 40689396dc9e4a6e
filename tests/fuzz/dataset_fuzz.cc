// Fuzzes datasets: whatever its two files hold, a dataset is refused or can be read.
//
// The input is dataset.json, a zero byte, tokens.bin. It is opened as it is; where dataset.json is
// one, once more with the checksums that the files have, since no mutation finds those.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <xxhash.h>

#include "common/dataset.h"
#include "common/dataset_format.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/fuzz/fuzz_folder.h"

namespace rally::test {
namespace {

void ReadAll(const Dataset& dataset) {
  const bool whole = dataset.Verify().ok();
  std::vector<int32_t> tokens;
  for (int64_t d = 0; d < dataset.info().documents; ++d) {
    tokens.resize(static_cast<size_t>(dataset.length(d)));
    FuzzCheck(dataset.Read(d, 0, absl::MakeSpan(tokens)).ok(), "a document of the index is read");
    FuzzCheck(!whole || tokens.back() == dataset.info().end_of_document, "documents end as told");
  }
  FuzzCheck(!dataset.Read(dataset.info().documents, 0, {}).ok(), "no document beyond the last");
}

void OpenAndRead(const std::string& directory) {
  const auto dataset = Dataset::Open(directory);
  if (dataset.ok()) ReadAll(**dataset);
}

void Check(absl::string_view manifest_text, absl::string_view tokens) {
  static const FuzzFolder folder;
  folder.Write(kDatasetManifestFile, manifest_text);
  folder.Write(kDatasetTokensFile, tokens);
  OpenAndRead(folder.path());
  auto manifest = ReadManifest(folder.path() + "/" + kDatasetManifestFile);
  if (!manifest.ok() || TokensFileSize(manifest->info) != tokens.size()) return;
  const size_t index = sizeof(DatasetHeader) + (manifest->info.documents + 1) * sizeof(uint64_t);
  manifest->index_xxh3 = XXH3_64bits(tokens.data(), index);
  manifest->tokens_xxh3 = XXH3_64bits(tokens.data() + index, tokens.size() - index);
  folder.Write(kDatasetManifestFile, FormatManifest(*manifest));
  OpenAndRead(folder.path());
}

}  // namespace
}  // namespace rally::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  rally::test::Check(input.substr(0, end), input.substr(std::min(end + 1, input.size())));
  return 0;
}
