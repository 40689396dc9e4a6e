#include "scheduler/document_work.h"

namespace rally {

DocumentWork::DocumentWork(const ModelShape& model, const CostModel* costs, int64_t chunk_tokens)
    : model_(model), costs_(costs) {
  if (costs == nullptr) {
    per_token_ = 6.0 * static_cast<double>(LayerParameterCount(model)) /
                 (ForwardFlopsPerPair(model) + BackwardFlopsPerPair(model));
  } else {
    per_token_ = (costs->LinearSeconds(model, Direction::kForward, chunk_tokens) +
                  costs->LinearSeconds(model, Direction::kBackward, chunk_tokens)) /
                 static_cast<double>(chunk_tokens);
  }
}

double DocumentWork::Of(int64_t tokens) const {
  const CaTask whole{0, 0, tokens, 0, tokens};
  const double attention = costs_ == nullptr
                               ? static_cast<double>(AllowedPairs(whole, model_.mask))
                               : costs_->TaskSeconds(model_, Direction::kForward, whole) +
                                     costs_->TaskSeconds(model_, Direction::kBackward, whole);
  return attention + per_token_ * static_cast<double>(tokens);
}

}  // namespace rally
