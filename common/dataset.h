// Dataset: tokenised documents on disk, memory-mapped, checksummed. The reader.
//
// A dataset is a directory of two files (all integers little-endian):
//
//   dataset.json   {"format": "rally-dataset", "version": 1, "documents": D, "tokens": T,
//                   "token_bytes": 2 or 4, "vocabulary": V, "tokenizer": "bytes" or
//                   "sentencepiece", "end_of_document": token id, "tokens_xxh3": "16 hex digits",
//                   "index_xxh3": "16 hex digits"}   written last: without it there is no dataset
//   tokens.bin     magic "RALLYTOK", uint32 version 1, uint32 token_bytes, uint64 T, uint64 D,
//                  then (D + 1) uint64: first token of document d, the last entry is T,
//                  then T tokens of token_bytes bytes each.
//
// index_xxh3 covers the header and the document offsets, tokens_xxh3 the tokens. Every document
// has at least one token. The last token of every document is end_of_document.
//
// Immutable after Open, any thread. A file that shrinks while it is mapped is the operator's
// mistake and ends the program (SIGBUS); one that was cut short before Open is an error.
#ifndef RALLY_COMMON_DATASET_H_
#define RALLY_COMMON_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace rally {

struct DatasetInfo {
  int64_t documents = 0;
  int64_t tokens = 0;       // Of all documents, each one's end_of_document included.
  int32_t token_bytes = 2;  // Width of a token on disk: 2 when vocabulary <= 65536, else 4.
  int64_t vocabulary = 0;   // Every token is in [0, vocabulary).
  std::string tokenizer;    // "bytes" or "sentencepiece".
  int32_t end_of_document = 0;

  friend bool operator==(const DatasetInfo&, const DatasetInfo&) = default;
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  // Maps a dataset. Checks sizes, header and the index checksum, not the tokens' (see Verify).
  // NotFound without dataset.json; DataLoss when a file is missing, truncated or damaged, naming
  // the file, the size or checksum expected and the one found.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& directory);

  virtual const DatasetInfo& info() const = 0;
  // Tokens of document `index` in [0, documents), end_of_document included.
  virtual int64_t length(int64_t index) const = 0;
  // Copies tokens [begin, begin + out.size()) of a document. OutOfRange when they do not exist.
  virtual absl::Status Read(int64_t index, int64_t begin, absl::Span<int32_t> out) const = 0;
  // Reads everything: checks the tokens' checksum, that they are in the vocabulary, and that each
  // document ends as it should. DataLoss otherwise. Cancelled once `go_on`, which is asked every
  // few milliseconds, says no.
  virtual absl::Status Verify(absl::FunctionRef<bool()> go_on) const = 0;
  absl::Status Verify() const {
    return Verify([] { return true; });
  }
};

}  // namespace rally

#endif  // RALLY_COMMON_DATASET_H_
