#include "workers/model/token_rows.h"

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"

namespace rally {
namespace {

absl::Status CheckTokens(absl::Span<const int32_t> tokens, int64_t source, int64_t vocabulary) {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary) {
      return absl::InvalidArgumentError(absl::StrCat("dataset document ", source, " holds token ",
                                                     token, ", outside model.vocabulary [0, ",
                                                     vocabulary, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status AppendShard(const Document& document, const DocumentShard& shard, int64_t vocabulary,
                         const ReadTokens& read_tokens, TokenRows* rows) {
  const bool has_successor = shard.end < document.tokens || document.targets == document.tokens;
  std::vector<int32_t> tokens(shard.tokens() + (has_successor ? 1 : 0));
  RALLY_RETURN_IF_ERROR(
      read_tokens(document.source, document.source_begin + shard.begin, absl::MakeSpan(tokens)));
  RALLY_RETURN_IF_ERROR(CheckTokens(tokens, document.source, vocabulary));
  for (int64_t i = 0; i < shard.tokens(); ++i) {
    const bool last = i + 1 == static_cast<int64_t>(tokens.size());
    rows->token.push_back(tokens[i]);
    rows->position.push_back(shard.begin + i);
    rows->target.push_back(last ? -1 : tokens[i + 1]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenRows> ReadTokenRows(const Plan& plan, const NanoBatch& nano_batch,
                                        int64_t vocabulary, const ReadTokens& read_tokens) {
  TokenRows rows;
  for (const DocumentShard& shard : nano_batch) {
    RALLY_RETURN_IF_ERROR(
        AppendShard(plan.documents[shard.document], shard, vocabulary, read_tokens, &rows));
  }
  return rows;
}

}  // namespace rally
