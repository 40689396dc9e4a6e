// FuzzDataset: a small good dataset for a fuzz target's process.
//
// Made once; removed at exit. One thread.
#ifndef RALLY_TESTS_FUZZ_FUZZ_DATASET_H_
#define RALLY_TESTS_FUZZ_FUZZ_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/dataset_writer.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/fuzz/fuzz_folder.h"

namespace rally::test {

// The path of a dataset of 40 byte-level documents of 5 to 94 tokens.
inline const std::string& FuzzDataset() {
  static const FuzzFolder folder;
  static const std::string path = [] {
    std::string directory = folder.path() + "/data";
    DatasetInfo info;
    info.vocabulary = 257;
    info.tokenizer = "bytes";
    info.end_of_document = 256;
    auto writer = DatasetWriter::Create(directory, info);
    FuzzCheck(writer.ok(), "a dataset is made");
    for (int64_t i = 0; i < 40; ++i) {
      const std::vector<int32_t> tokens(static_cast<size_t>(4 + 7 * i % 90), 65);
      FuzzCheck((*writer)->Add(tokens).ok(), "a document is added");
    }
    FuzzCheck((*writer)->Finish().ok(), "a dataset is finished");
    return directory;
  }();
  return path;
}

}  // namespace rally::test

#endif  // RALLY_TESTS_FUZZ_FUZZ_DATASET_H_
