// DocumentSink: text in, tokenised documents of a dataset out.
//
// The text of a document comes in parts. Documents of white space alone are counted and dropped.
// Used by one thread; the tokenizer and the writer belong to the caller and outlive it.
#ifndef RALLY_SERVICES_DATA_DOCUMENT_SINK_H_
#define RALLY_SERVICES_DATA_DOCUMENT_SINK_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

#include "common/dataset_writer.h"
#include "services/data/tokenizer.h"

namespace rally {

class DocumentSink {
 public:
  DocumentSink(Tokenizer* tokenizer, DatasetWriter* writer)
      : tokenizer_(*tokenizer), writer_(*writer) {}

  // Adds to the document that is open. The tokenizer's and the writer's errors.
  absl::Status Append(absl::string_view text);
  // Ends the open document.
  absl::Status EndDocument();

  int64_t documents() const { return documents_; }
  int64_t tokens() const { return tokens_; }  // Each document's end_of_document included.
  int64_t empty_documents() const { return empty_documents_; }

 private:
  absl::Status Encode(absl::string_view text);

  Tokenizer& tokenizer_;
  DatasetWriter& writer_;
  std::string held_;      // Text not encoded yet: white space so far, or all when not streamable.
  bool is_empty_ = true;  // Nothing but white space so far.
  std::vector<int32_t> encoded_;
  int64_t documents_ = 0;
  int64_t tokens_ = 0;
  int64_t empty_documents_ = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_DOCUMENT_SINK_H_
