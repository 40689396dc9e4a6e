#include "services/data/document_sink.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"

namespace rally {

absl::Status DocumentSink::Append(absl::string_view text) {
  is_empty_ = is_empty_ && std::all_of(text.begin(), text.end(), absl::ascii_isspace);
  if (is_empty_ || !tokenizer_.is_streamable()) {
    absl::StrAppend(&held_, text);
    return absl::OkStatus();
  }
  if (!held_.empty()) {
    RALLY_RETURN_IF_ERROR(Encode(held_));
    held_.clear();
  }
  return Encode(text);
}

absl::Status DocumentSink::EndDocument() {
  if (is_empty_) {
    ++empty_documents_;
  } else {
    if (!held_.empty()) RALLY_RETURN_IF_ERROR(Encode(held_));
    RALLY_RETURN_IF_ERROR(writer_.EndDocument());
    ++documents_;
    ++tokens_;
  }
  held_.clear();
  is_empty_ = true;
  return absl::OkStatus();
}

absl::Status DocumentSink::Encode(absl::string_view text) {
  RALLY_RETURN_IF_ERROR(tokenizer_.Encode(text, &encoded_));
  tokens_ += static_cast<int64_t>(encoded_.size());
  return writer_.Append(encoded_);
}

}  // namespace rally
