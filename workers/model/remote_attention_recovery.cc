// How a round goes on over another pool: see remote_attention.h.
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "workers/model/attention_exchange.h"
#include "workers/model/remote_attention.h"
#include "workers/model/status_error.h"

namespace rally {

// Backward, once all of a layer is collected here: nobody asks for rows of the layer above again
// (remote_attention.h says why). Half of a layer does not do: its pong may have met other homes
// than those that still wait for the pong of the layer above.
void RemoteAttention::ForgetLayerAbove(size_t collected) {
  const Phase& phase = order_[collected];
  if (collected + 1 < order_.size() && SameLayer(order_[collected + 1], phase)) return;
  for (size_t i = collected; i-- > 0 && order_[i].micro_batch == phase.micro_batch;) {
    if (order_[i].direction != Direction::kBackward || order_[i].layer > phase.layer + 1) return;
    if (order_[i].layer == phase.layer) continue;
    kept_[i]->d_out_TNH.reset();
    kept_[i]->delta_TN.reset();
    kept_[i].reset();
  }
}

// In the next micro-batch other homes are met: only what nobody can have waited for since is kept.
void RemoteAttention::ForgetMicroBatch() {
  const bool training = plan_->kind == PlanKind::kTrain;
  for (size_t i = 0; i < posted_; ++i) {
    const bool last = order_[i].direction == Direction::kBackward && order_[i].layer == 0;
    if (!training || !last) kept_[i].reset();
  }
}

RoundStanding RemoteAttention::Standing() const {
  return {plan_->round, static_cast<int64_t>(collected_), collected_ == order_.size()};
}

void RemoteAttention::Recover(const absl::Status& cause) {
  absl::Status status = cause;
  while (!status.ok()) {
    if (!service_.change_pool) ThrowIfError(status);
    Abandon(status);
    absl::StatusOr<PoolChange> change = service_.change_pool(status, Standing());
    ThrowIfError(change.status());
    status = GoOn(*change);
  }
}

// Nothing moves through this rank's buffers after it.
void RemoteAttention::Abandon(const absl::Status& cause) {
  transport_->Abort(cause);
  for (size_t i = collected_; i < posted_; ++i) {
    (void)transport_->Wait(kept_[i]->messages.transfers, absl::InfiniteFuture());
    kept_[i]->messages.clear();
  }
  (void)transport_->Wait(resent_.transfers, absl::InfiniteFuture());
  resent_.clear();
}

// An error is one of the new pool, which may change as well.
absl::Status RemoteAttention::GoOn(const PoolChange& change) {
  transport_ = change.transport;
  epoch_ = change.epoch;
  if (change.plan == nullptr && collected_ == order_.size()) return absl::OkStatus();
  if (change.plan == nullptr || PhaseOrder(*change.plan, options_.shape.layers) != order_) {
    ThrowIfError(absl::InternalError("the round's plan was made anew with other phases"));
  }
  RALLY_RETURN_IF_ERROR(TakePlan(change.plan, change.collected));
  const auto first = static_cast<size_t>(standings_.first());
  for (size_t i = first; i < posted_; ++i) {
    RALLY_RETURN_IF_ERROR(i < collected_ ? SendAgain(i) : SendPhase(i));
  }
  // What is behind this rank and not behind the others is served at once; they wait for it.
  for (served_ = first; served_ < collected_; ++served_) {
    if (service_.serve_phase) RALLY_RETURN_IF_ERROR(service_.serve_phase(order_[served_]));
  }
  return absl::OkStatus();
}

// The rows that other homes' tasks need of a phase this rank has collected. No reply comes.
absl::Status RemoteAttention::SendAgain(size_t index) {
  if (service_.post_phase) RALLY_RETURN_IF_ERROR(service_.post_phase(order_[index]));
  PhaseRoutes open;
  const std::vector<const Route*> routes = RoutesOf(index, &open);
  if (!routes.empty() && kept_[index] == nullptr) {
    ThrowIfError(absl::InternalError(
        absl::StrCat("a worker is ", posted_ - index, " phases behind; its rows are gone")));
  }
  for (const Route* route : routes) SendRequest(*route, order_[index], *kept_[index], &resent_);
  return absl::OkStatus();
}

absl::Status RemoteAttention::ServeWhile(const absl::Notification* done) {
  constexpr absl::Duration kStep = absl::Milliseconds(5);  // How soon a failed transport is seen.
  while (!done->WaitForNotificationWithTimeout(kStep)) {
    const absl::Status status = transport_->status();
    if (status.ok()) continue;
    try {
      Recover(status);
    } catch (const StatusError& error) {
      return error.status();
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
