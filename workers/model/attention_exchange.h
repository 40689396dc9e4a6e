// RemoteAttention::Exchange: one layer and nano-batch of a home: what it sends, and what is under
// way.
//
// The forward's and the backward's are the same object: the autograd functions of a phase hold it,
// and so does RemoteAttention for as long as a change of the pool may call for its rows again.
//
// Internal to RemoteAttention: this header needs LibTorch. The trainer's thread alone.
#ifndef RALLY_WORKERS_MODEL_ATTENTION_EXCHANGE_H_
#define RALLY_WORKERS_MODEL_ATTENTION_EXCHANGE_H_

#include <array>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <absl/time/time.h>
#include <torch/custom_class.h>

#include "scheduler/phase.h"
#include "scheduler/phase_routes.h"
#include "workers/model/remote_attention.h"

namespace rally {

struct RemoteAttention::Exchange : torch::CustomClassHolder {
  ~Exchange() override { GiveUp(); }

  // Lets go of the attention and its pool. A backward pass that failed leaves nodes in the engine's
  // queue of this thread, which may hold an exchange for longer than its job lives.
  void GiveUp() {
    if (attention == nullptr) return;
    if (!messages.transfers.empty()) {
      // Left by an error: nothing may move through these buffers once they are back in the pool.
      attention->transport_->Abort(absl::CancelledError("the training step was given up"));
      (void)attention->transport_->Wait(messages.transfers, absl::InfiniteFuture());
    }
    messages.clear();
    attention->exchanges_.erase(this);
    attention = nullptr;
  }

  RemoteAttention* attention = nullptr;
  Phase phase;         // Forward.
  int64_t tokens = 0;  // T
  // Detached: they may share memory with the graph's tensors but do not keep the graph alive. In
  // the job's element; what ping has of keys and values is shared with pong.
  at::Tensor q_TNH;
  std::array<at::Tensor, kNanoBatches> k_TMH;
  std::array<at::Tensor, kNanoBatches> v_TMH;
  // Float32, from the forward; `out` until the backward.
  at::Tensor out_TNH;
  at::Tensor lse_TN;
  // Of the backward.
  at::Tensor d_out_TNH;
  at::Tensor delta_TN;

  std::vector<const Route*> routes;  // Of the phase under way.
  PhaseRoutes open_routes;           // What they point to, in a phase that some have behind them.
  Messages messages;                 // Under way; `replies` by route.
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_ATTENTION_EXCHANGE_H_
