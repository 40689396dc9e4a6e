// DatasetWriter: makes a dataset (format: common/dataset.h) of documents added one by one.
//
// Owned and used by one thread. Memory grows with the number of documents (8 bytes each), not with
// their tokens. Works in `<directory>.partial-<process id>` and renames it at Finish, after fsync:
// a reader sees a whole dataset or none, whenever the machine stops. The destructor removes what
// was not finished; what a killed process left goes when the same directory is written again.
#ifndef RALLY_COMMON_DATASET_WRITER_H_
#define RALLY_COMMON_DATASET_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "common/dataset.h"

namespace rally {

class DatasetWriter {
 public:
  virtual ~DatasetWriter() = default;

  // `info` gives vocabulary, tokenizer and end_of_document; the rest is counted or follows.
  // AlreadyExists when `directory` exists, InvalidArgument when end_of_document is not in the
  // vocabulary or the vocabulary exceeds 2^31; the file system's error with the path otherwise.
  static absl::StatusOr<std::unique_ptr<DatasetWriter>> Create(const std::string& directory,
                                                               const DatasetInfo& info);

  // Appends tokens to the document that is open, the first ones to a new document. InvalidArgument
  // when a token is outside the vocabulary; nothing is then appended.
  virtual absl::Status Append(absl::Span<const int32_t> tokens) = 0;
  // Ends the open document by end_of_document; it may be empty.
  virtual absl::Status EndDocument() = 0;
  // Both: one whole document, without its end_of_document.
  absl::Status Add(absl::Span<const int32_t> tokens) {
    const absl::Status status = Append(tokens);
    return status.ok() ? EndDocument() : status;
  }

  // InvalidArgument when no document was added, AlreadyExists when the directory has appeared
  // meanwhile. The last call; no document is open.
  virtual absl::StatusOr<DatasetInfo> Finish() = 0;
};

}  // namespace rally

#endif  // RALLY_COMMON_DATASET_WRITER_H_
