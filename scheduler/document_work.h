// DocumentWork: what a whole document costs in one layer, forward and backward, for packers that
// balance work and not tokens.
//
// Seconds where there is a cost model; a token of the linear part then takes its share of a whole
// chunk's time. Without one, allowed pairs: the linear part of a token counts as the pairs that
// take as many FLOP (6 for each weight of a layer; a pair 3.5 times its forward). Immutable;
// borrows the cost model.
#ifndef RALLY_SCHEDULER_DOCUMENT_WORK_H_
#define RALLY_SCHEDULER_DOCUMENT_WORK_H_

#include <cstdint>

#include "scheduler/cost_model.h"
#include "scheduler/model_shape.h"

namespace rally {

class DocumentWork {
 public:
  // `costs` may be null. `chunk_tokens` at least 1.
  DocumentWork(const ModelShape& model, const CostModel* costs, int64_t chunk_tokens);

  double Of(int64_t tokens) const;

 private:
  const ModelShape model_;
  const CostModel* const costs_;
  double per_token_ = 0.0;  // The linear part.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_DOCUMENT_WORK_H_
