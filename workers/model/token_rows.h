// TokenRows: what one worker reads of the dataset for one nano-batch, row by row.
//
// The target of a row is the next token of its document, wherever that one lives: cutting a
// document into shards loses no target. Only the very last token of a dataset document has none.
// Plain data; the reader is called on the caller's thread.
#ifndef RALLY_WORKERS_MODEL_TOKEN_ROWS_H_
#define RALLY_WORKERS_MODEL_TOKEN_ROWS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/plan.h"

namespace rally {

// Reads the tokens [begin, begin + out.size()) of dataset document `source` into `out`.
using ReadTokens =
    std::function<absl::Status(int64_t source, int64_t begin, absl::Span<int32_t> out)>;

struct TokenRows {
  std::vector<int64_t> token;     // [T]
  std::vector<int64_t> position;  // [T], in the document.
  std::vector<int64_t> target;    // [T], -1: none.
};

// Rows of `nano_batch` of `plan`. Errors: the reader's, and InvalidArgument when a token is not in
// [0, vocabulary), naming the dataset document.
absl::StatusOr<TokenRows> ReadTokenRows(const Plan& plan, const NanoBatch& nano_batch,
                                        int64_t vocabulary, const ReadTokens& read_tokens);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_TOKEN_ROWS_H_
