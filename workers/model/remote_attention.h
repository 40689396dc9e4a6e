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
// that order is an Internal error, not a hang.
//
// When the transport fails within a round, the round goes on over another pool of servers
// (InPlaceService::change_pool): what is under way is given up and sent again, nothing that is
// collected is computed again for this rank, and rows of phases that others still wait for are sent
// to them once more. For that a phase's inputs are kept
//   - forward, until its micro-batch is over (in training they are needed as long anyway);
//   - backward, until all of the layer below is collected; the lowest layer's until the round is
//     over.
// Then no task needs this home's rows of the layer above for another one's sake, however the tasks
// are cut. Two homes with rows in one task see each other's: a query of the one sees a key of the
// other, in this nano-batch or in ping. (Of two homes with keys in a task, the later one's queries
// at these keys see the earlier one's keys, since the task's queries, later still, do.) So this
// home has the layer below only if the other one has sent it that nano-batch's rows, which it can
// once it has the layer above's: those of pong, and before it sends ping, of both.
// A validation has no backward that would hold homes together: its micro-batches end with a
// reduction over all workers.
//
// Internal to workers/model: this header needs LibTorch. Threads: one at a time. Transport and pool
// are borrowed. Errors leave BeginRound, Dispatch and Collect as StatusError.
#ifndef RALLY_WORKERS_MODEL_REMOTE_ATTENTION_H_
#define RALLY_WORKERS_MODEL_REMOTE_ATTENTION_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include <absl/status/status.h>
#include <absl/synchronization/notification.h>
#include <absl/time/time.h>

#include "scheduler/collected_phases.h"
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
  uint32_t epoch = 0;  // The first.
  absl::Duration phase_timeout = absl::Seconds(60);
};

class RemoteAttention final : public CoreAttention {
 public:
  struct Exchange;  // attention_exchange.h: one layer and nano-batch.
  using ExchangePointer = c10::intrusive_ptr<Exchange>;

  RemoteAttention(const RemoteAttentionOptions& options, Transport* transport, BufferPool* pool,
                  InPlaceService service);
  ~RemoteAttention() override;

  // Between rounds: the transport of another pool, under its epoch. The old one has been destroyed.
  void UsePool(Transport* transport, uint32_t epoch);

  // Takes up a plan that has passed CheckPlan, that others may be in already.
  void BeginRound(std::shared_ptr<const Plan> plan, const CollectedPhases& collected);
  // OK when every phase of the plan has run.
  absl::Status EndRound() const;

  at::Tensor Dispatch(const Phase& phase, const QueryKeyValue& rows,
                      const QueryKeyValue* ping) override;
  at::Tensor Collect(const at::Tensor& ticket) override;

  // After this rank's last phase, or a validation's micro-batch: follows changes of the pool until
  // `done`. The first error.
  absl::Status ServeWhile(const absl::Notification* done);

  // Time this rank waited for replies since BeginRound.
  absl::Duration waiting() const { return waiting_; }

  // The rest is for the autograd functions. Post sends the requests of the exchange's phase in
  // `direction` and posts its receives; ServeAndWait serves that phase here, then waits for its
  // messages.
  void Post(Direction direction, const ExchangePointer& exchange);
  void ServeAndWait(Direction direction, const ExchangePointer& exchange);
  // Turn the replies into out and lse, or into gradients.
  void Merge(Exchange* exchange) const;
  void Accumulate(const HomeGradients& gradients, const Exchange& exchange) const;

 private:
  // Buffers that move, with their transfers, which point at them.
  struct Messages {
    std::deque<Buffer> requests;
    std::deque<Buffer> replies;
    std::vector<Transfer> transfers;

    void clear() {
      transfers.clear();
      requests.clear();
      replies.clear();
    }
  };

  friend struct Exchange;
  absl::Status TakePlan(std::shared_ptr<const Plan> plan, const CollectedPhases& collected);
  // Whether these are ping and pong of one layer and direction, or one of them.
  static bool SameLayer(const Phase& a, const Phase& b);
  absl::Status CheckNext(const Phase& phase, size_t position) const;
  // Sends and receives of the phase at `index` of the order.
  absl::Status SendPhase(size_t index);
  // This home's routes in it; `open` holds what they point to where it is not routes_.
  std::vector<const Route*> RoutesOf(size_t index, PhaseRoutes* open) const;
  void SendRequest(const Route& route, const Phase& phase, const Exchange& exchange,
                   Messages* messages);
  absl::Status TryCollect(const Phase& phase, Exchange* exchange);
  // When replies are late: a multiple of the longest wait that was usual of late.
  absl::Duration LateAfter() const;
  Tag MakeTag(const Phase& phase, MessageKind kind, int32_t source) const;

  // remote_attention_recovery.cc.
  void ForgetLayerAbove(size_t collected);
  void ForgetMicroBatch();
  RoundStanding Standing() const;
  // Returns when the round goes on over another pool; throws when it does not.
  void Recover(const absl::Status& cause);
  void Abandon(const absl::Status& cause);
  absl::Status GoOn(const PoolChange& change);
  absl::Status SendAgain(size_t index);

  const RemoteAttentionOptions options_;
  uint32_t epoch_;
  const RowSizes sizes_;
  Transport* transport_;
  BufferPool* const pool_;
  const InPlaceService service_;

  std::shared_ptr<const Plan> plan_;
  CollectedPhases standings_;
  std::vector<Phase> order_;
  size_t posted_ = 0;                                          // Phases of order_ sent so far,
  size_t served_ = 0;                                          // served for others and oneself,
  size_t collected_ = 0;                                       // and waited for.
  std::vector<std::array<PhaseRoutes, kNanoBatches>> routes_;  // [micro-batch][nano-batch]
  std::vector<ExchangePointer> kept_;                          // By phase; null: not needed again.
  Messages resent_;                                            // Of phases collected before.
  std::deque<ExchangePointer> dispatched_;                     // Not yet collected, in order.
  std::set<Exchange*> exchanges_;                              // That live.
  absl::Duration waiting_;
  absl::Duration longest_wait_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_REMOTE_ATTENTION_H_
