// PrepareDataset: text files in, a tokenised dataset (common/dataset.h) out.
//
//   *.txt     one document, or several when `split_on` is set
//   *.jsonl   one JSON object per line; the document is its string field `text_field`
//   folder    every .txt and .jsonl below it, hidden names skipped, in the order of their paths
//
// Documents keep the order of the inputs. Documents of white space alone are skipped and counted;
// blank lines of .jsonl are no documents. Text is taken as it is. Memory grows with the longest
// line of .jsonl and, SentencePiece only, with the longest document; not with the input.
//
// Synchronous, one call at a time per output; nothing is left behind on failure.
#ifndef RALLY_SERVICES_DATA_PREPARE_H_
#define RALLY_SERVICES_DATA_PREPARE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/dataset.h"

namespace rally {

struct PrepareOptions {
  std::vector<std::string> inputs;  // Files and folders, at least one.
  std::string output;               // Directory of the dataset; must not exist.
  std::string sentencepiece_model;  // Path of a SentencePiece model; empty: one token per byte.
  // The helper that reads it; empty: where it is installed.
  std::string sentencepiece_program;
  std::string text_field = "text";  // Of each .jsonl object.
  std::string split_on;             // A whole line that separates the documents of a .txt file
                                    // (its line break and a \r aside); empty: a file is a document.
};

struct PrepareProgress {
  int64_t bytes_done = 0;  // Of the input files.
  int64_t bytes_total = 0;
  int64_t documents = 0;
  int64_t tokens = 0;
  std::string file;  // The one being read.
};
// Called now and then from PrepareDataset's thread; return false to cancel.
using PrepareProgressCallback = std::function<bool(const PrepareProgress&)>;

struct PrepareResult {
  DatasetInfo info;
  int64_t files = 0;
  int64_t empty_documents = 0;  // Skipped.
};

// InvalidArgument for bad options, unusable input ("file:line: ..."), or no document at all;
// NotFound and the file system's other errors with the path; AlreadyExists when the output does;
// Cancelled when `progress` says so. `progress` may be null.
absl::StatusOr<PrepareResult> PrepareDataset(const PrepareOptions& options,
                                             const PrepareProgressCallback& progress);

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_PREPARE_H_
