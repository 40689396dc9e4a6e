// Transformer: the Llama family, forward over one micro-batch; autograd makes the backward.
//
// Ping and pong are interleaved: a nano-batch's core attention is on its way while the other one
// computes. Autograd runs ready nodes newest first, so the backward is the exact mirror.
// Internal to workers/model: this header needs LibTorch. Threads: one at a time.
#ifndef RALLY_WORKERS_MODEL_TRANSFORMER_H_
#define RALLY_WORKERS_MODEL_TRANSFORMER_H_

#include <array>
#include <cstdint>

#include <ATen/core/Tensor.h>

#include "scheduler/model_shape.h"
#include "scheduler/plan.h"
#include "workers/model/core_attention.h"
#include "workers/model/token_rows.h"
#include "workers/model/weights.h"

namespace rally {

// One worker's share of a micro-batch. A nano-batch in use may have no rows here: it takes part in
// every phase all the same.
struct MicroBatchRows {
  int32_t index = 0;
  std::array<bool, kNanoBatches> in_use = {};  // By any worker.
  std::array<TokenRows, kNanoBatches> rows;
};

class Transformer {
 public:
  // `weights` is borrowed.
  Transformer(const ModelShape& shape, const Weights* weights);

  // Sum of the cross entropies of all targets, a double scalar; differentiable when gradients are
  // enabled.
  at::Tensor Loss(const MicroBatchRows& micro_batch, CoreAttention* attention) const;

 private:
  struct Stream;
  Stream Begin(const TokenRows& rows) const;
  QueryKeyValue BeforeAttention(int64_t layer, const Stream& stream) const;
  at::Tensor AfterAttention(int64_t layer, const at::Tensor& x_TD, const at::Tensor& out_TNH) const;
  at::Tensor LossOf(const Stream& stream) const;

  const ModelShape shape_;
  const Weights* const weights_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_TRANSFORMER_H_
