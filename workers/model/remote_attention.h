// RemoteAttention: core attention by the plan's servers, as two autograd functions.
//
// Forward: Dispatch sends query, key and value rows along the plan's routes and posts the receives;
// Collect serves this rank's own tasks, waits for the replies and merges them. Backward mirrors it:
// that of Collect sends again, with d_out, lse and delta; that of Dispatch serves, waits and sums
// d_q, d_k and d_v. Rows come and go in float32. Where the job's element is bfloat16, Dispatch
// rounds q, k and v to it once, and the backward of Collect rounds d_out, to nearest even; delta is
// of d_out as rounded. Replies are float32 whatever the element.
//
// Every phase of the plan runs, in PhaseOrder, even if this rank has no rows in it; a call out of
// that order is an Internal error, not a hang. A phase's inputs are kept until its backward is
// over.
//
// Internal to workers/model: this header needs LibTorch. Threads: one at a time. Transport and
// pool are borrowed. Errors leave Dispatch and Collect as StatusError.
#ifndef RALLY_WORKERS_MODEL_REMOTE_ATTENTION_H_
#define RALLY_WORKERS_MODEL_REMOTE_ATTENTION_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/phase_routes.h"
#include "scheduler/plan.h"
#include "workers/model/core_attention.h"
#include "workers/model/in_place_service.h"
#include "workers/model/phase_messages.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally {

struct RemoteAttentionOptions {
  ModelShape shape;
  AttentionElement element = AttentionElement::kFloat32;  // Of requests; the servers' too.
  int32_t rank = 0;
  uint32_t epoch = 0;
  absl::Duration phase_timeout = absl::Seconds(60);
};

class RemoteAttention final : public CoreAttention {
 public:
  struct Exchange;  // One layer and nano-batch: inputs, outputs and messages under way.

  RemoteAttention(const RemoteAttentionOptions& options, Transport* transport, BufferPool* pool,
                  InPlaceService service);
  ~RemoteAttention() override;

  // Takes up a plan that has passed CheckPlan.
  absl::Status BeginRound(std::shared_ptr<const Plan> plan);
  // OK when every phase of the plan has run.
  absl::Status EndRound() const;

  at::Tensor Dispatch(const Phase& phase, const QueryKeyValue& rows,
                      const QueryKeyValue* ping) override;
  at::Tensor Collect(const at::Tensor& ticket) override;

  // Time this rank waited for replies since BeginRound.
  absl::Duration waiting() const { return waiting_; }

  // The rest is for the autograd functions. Post sends the requests of the exchange's phase in
  // `direction` and posts its receives; ServeAndWait serves that phase here, then waits for its
  // messages.
  void Post(Direction direction, const HomeInputs& inputs, Exchange* exchange);
  void ServeAndWait(Direction direction, Exchange* exchange);
  // Turn the replies into out and lse, or into gradients.
  void Merge(Exchange* exchange) const;
  void Accumulate(const HomeGradients& gradients, const Exchange& exchange) const;

 private:
  friend struct Exchange;
  absl::Status CheckNext(const Phase& phase, size_t position) const;
  void PostRoute(const Route& route, const Phase& phase, const HomeInputs& inputs,
                 Exchange* exchange);
  Tag MakeTag(const Phase& phase, MessageKind kind, int32_t source) const;

  const RemoteAttentionOptions options_;
  const RowSizes sizes_;
  Transport* const transport_;
  BufferPool* const pool_;
  const InPlaceService service_;

  std::shared_ptr<const Plan> plan_;
  std::vector<Phase> order_;
  size_t posted_ = 0;                                          // Phases of order_ sent so far,
  size_t served_ = 0;                                          // served for others and oneself,
  size_t collected_ = 0;                                       // and waited for.
  std::vector<std::array<PhaseRoutes, kNanoBatches>> routes_;  // [micro-batch][nano-batch]
  std::deque<c10::intrusive_ptr<Exchange>> dispatched_;        // Not yet collected, in order.
  std::set<Exchange*> exchanges_;                              // That live.
  absl::Duration waiting_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_REMOTE_ATTENTION_H_
