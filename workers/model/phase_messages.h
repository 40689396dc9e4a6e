// Phase messages: rows of a home into requests, replies back into rows.
//
// Loops over host memory, in the layout scheduler/message_layout.h gives. A home's tensors of one
// phase come as pointers; keys may lie in ping or pong, so key-like tensors come by nano-batch.
// Pure functions; any thread, which long rows are shared out from (parallel_for.h): results do not
// depend on how many share them.
#ifndef RALLY_WORKERS_MODEL_PHASE_MESSAGES_H_
#define RALLY_WORKERS_MODEL_PHASE_MESSAGES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include <absl/types/span.h>

#include "scheduler/document.h"
#include "scheduler/message_layout.h"

namespace rally {

// What a home sends of one phase; what is void here are elements of RowSizes::element. The last
// three are for backward phases only.
struct HomeInputs {
  const void* q_TNH = nullptr;
  std::array<const void*, kNanoBatches> k_TMH = {};
  std::array<const void*, kNanoBatches> v_TMH = {};
  const void* d_out_TNH = nullptr;
  const float* lse_TN = nullptr;
  const float* delta_TN = nullptr;
};

// Gradients of one phase's inputs, zeroed by the caller before the first reply.
struct HomeGradients {
  float* d_q_TNH = nullptr;
  std::array<float*, kNanoBatches> d_k_TMH = {};
  std::array<float*, kNanoBatches> d_v_TMH = {};
};

// Writes a request; `message` has the layout's size.
void PackRequest(const Route& route, const RowSizes& sizes, bool backward, const HomeInputs& inputs,
                 absl::Span<std::byte> message);

// Merges the forward replies of all of a home's routes, in the plan's task order, in float32:
// rows that several tasks computed are weighted by their log-sum-exps. Writes out_TNH and lse_TN
// of `tokens` rows whole; rows no task covers get 0 and -infinity. `replies[i]` is of `routes[i]`.
void MergeReplies(absl::Span<const Route* const> routes, const RowSizes& sizes,
                  absl::Span<const absl::Span<const float>> replies, int64_t tokens, float* out_TNH,
                  float* lse_TN);

// Adds one backward reply. Called in route order, so that sums have one order.
void AddGradients(const Route& route, const RowSizes& sizes, absl::Span<const float> reply,
                  const HomeGradients& gradients);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_PHASE_MESSAGES_H_
