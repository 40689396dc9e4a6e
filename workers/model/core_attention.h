// CoreAttention: the seam through which the transformer reaches softmax(QK^T)V.
//
// A phase is dispatched, and later collected; between the two the caller computes something else.
// Both calls take part in autograd: the backward of Collect sends, the backward of Dispatch waits
// for d_q, d_k and d_v. Internal to workers/model: this header needs LibTorch.
//
// Threads: one caller at a time. Errors: exceptions (StatusError), caught by the trainer.
#ifndef RALLY_WORKERS_MODEL_CORE_ATTENTION_H_
#define RALLY_WORKERS_MODEL_CORE_ATTENTION_H_

#include <ATen/core/Tensor.h>

#include "scheduler/phase.h"

namespace rally {

// Query, key and value rows of one nano-batch, RoPE applied. Contiguous.
struct QueryKeyValue {
  at::Tensor q_TNH;
  at::Tensor k_TMH;
  at::Tensor v_TMH;
};

class CoreAttention {
 public:
  virtual ~CoreAttention() = default;

  // Begins a forward phase with this rank's rows. `ping` is the same layer's rows of ping when
  // `phase` is of pong and ping is in use, else null: documents may span both. Returns a ticket.
  virtual at::Tensor Dispatch(const Phase& phase, const QueryKeyValue& rows,
                              const QueryKeyValue* ping) = 0;

  // Waits for the phase that `ticket` stands for: out_TNH.
  virtual at::Tensor Collect(const at::Tensor& ticket) = 0;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CORE_ATTENTION_H_
