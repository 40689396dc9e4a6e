// Dataset: tokenised documents on disk, memory-mapped, checksummed.
//
// A dataset is a directory of two files (all integers little-endian):
//
//   dataset.json   {"format": "rally-dataset", "version": 1, "documents": D, "tokens": T,
//                   "token_bytes": 2 or 4, "vocabulary": V, "tokenizer": "bytes" or "sentencepiece",
//                   "end_of_document": token id, "tokens_xxh3": "16 hex digits",
//                   "index_xxh3": "16 hex digits"}   written last: without it there is no dataset
//   tokens.bin     magic "RALLYTOK", uint32 version 1, uint32 token_bytes, uint64 T, uint64 D,
//                  then (D + 1) uint64: first token of document d, the last entry is T,
//                  then T tokens of token_bytes bytes each.
//
// index_xxh3 covers the header and the document offsets, tokens_xxh3 the tokens. Every document
// has at least one token. The last token of every document is end_of_document.
//
// Reader: immutable after Open, any thread. Writer: one thread.
#ifndef RALLY_COMMON_DATASET_H_
#define RALLY_COMMON_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace rally {

struct DatasetInfo {
  int64_t documents = 0;
  int64_t tokens = 0;
  int32_t token_bytes = 2;
  int64_t vocabulary = 0;
  std::string tokenizer;
  int32_t end_of_document = 0;
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  // Maps a dataset. Checks sizes, header and the index checksum, not the tokens' (see Verify).
  // NotFound without dataset.json; DataLoss when a file is truncated or damaged, naming the file,
  // the size or checksum expected and the one found.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& directory);

  virtual const DatasetInfo& info() const = 0;
  // Tokens of document `index` in [0, documents).
  virtual int64_t length(int64_t index) const = 0;
  // Copies tokens [begin, begin + out.size()) of a document. OutOfRange when they do not exist.
  virtual absl::Status Read(int64_t index, int64_t begin, absl::Span<int32_t> out) const = 0;
  // Reads everything and checks the tokens' checksum.
  virtual absl::Status Verify() const = 0;
};

class DatasetWriter {
 public:
  virtual ~DatasetWriter() = default;

  // Writes beside `directory` and renames at Finish: a reader sees a whole dataset or none.
  // AlreadyExists when `directory` exists. `info` gives token_bytes, vocabulary, tokenizer and
  // end_of_document.
  static absl::StatusOr<std::unique_ptr<DatasetWriter>> Create(const std::string& directory,
                                                               const DatasetInfo& info);

  // Appends one document; end_of_document is added by the writer.
  virtual absl::Status Add(absl::Span<const int32_t> tokens) = 0;
  // InvalidArgument when no document was added. Without Finish nothing is left behind.
  virtual absl::StatusOr<DatasetInfo> Finish() = 0;
};

// The documents of the training and of the held-out split, by a hash of their index; deterministic.
// Both splits get at least one document when there are two or more and fraction > 0.
struct DatasetSplit {
  std::vector<int64_t> training;    // Dataset indices, ascending.
  std::vector<int64_t> validation;
};
DatasetSplit SplitDataset(int64_t documents, double validation_fraction, uint64_t seed);

}  // namespace rally

#endif  // RALLY_COMMON_DATASET_H_
