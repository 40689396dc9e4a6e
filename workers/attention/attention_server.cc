#include "workers/attention/attention_server.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <absl/time/clock.h>

#include "common/check.h"
#include "common/status_macros.h"
#include "workers/attention/server_layout.h"
#include "workers/attention/server_phase.h"

namespace rally {
namespace {

class AttentionServerImpl : public AttentionServer {
 public:
  AttentionServerImpl(const AttentionServerOptions& options, Transport* transport,
                      AttentionKernel* kernel, BufferPool* pool)
      : options_(options),
        sizes_(RowSizesOf(options.shape, options.element)),
        transport_(transport),
        kernel_(kernel),
        pool_(pool) {
    kernel_shape_.heads = static_cast<int32_t>(options.shape.heads);
    kernel_shape_.kv_heads = static_cast<int32_t>(options.shape.kv_heads);
    kernel_shape_.head_dim = static_cast<int32_t>(options.shape.head_dim);
    kernel_shape_.mask = options.shape.mask;
    kernel_shape_.element = options.element;
  }

  // Memory goes back to the pool only when the transport has let go of it.
  ~AttentionServerImpl() override {
    if (!posted_.empty()) {
      transport_->Abort(absl::CancelledError("an attention server was given up within a step"));
    }
    for (const PostedPhase& posted : posted_) {
      (void)transport_->Wait(posted.receives, absl::InfiniteFuture());
    }
    (void)FinishSending();
  }

  absl::Status BeginStep(std::shared_ptr<const Plan> plan, CollectedPhases collected) override {
    RALLY_RETURN_IF_ERROR(FinishSending());
    if (!posted_.empty()) {
      return absl::FailedPreconditionError("a phase of the last step has not been served");
    }
    plan_ = std::move(plan);
    collected_ = std::move(collected);
    order_ = PhaseOrder(*plan_, options_.shape.layers);
    layouts_.clear();
    open_layouts_.clear();
    stats_ = {};
    return absl::OkStatus();
  }

  absl::Status PostPhase(const Phase& phase) override {
    RALLY_RETURN_IF_ERROR(transport_->status());
    const bool backward = phase.direction == Direction::kBackward;
    PostedPhase posted{phase};
    const std::vector<Route>& routes = LayoutOf(phase).routes;
    for (const Route& route : routes) {
      posted.requests.push_back(pool_->Allocate(LayOutRequest(route, sizes_, backward).size));
    }
    for (size_t i = 0; i < routes.size(); ++i) {
      const int32_t home = routes[i].home;
      posted.receives.push_back(transport_->ReceiveBuffer(
          home, TagOf(phase, MessageKind::kRequest, home), &posted.requests[i]));
    }
    posted_.push_back(std::move(posted));
    return absl::OkStatus();
  }

  absl::Status ServePhase(const Phase& phase) override {
    const auto is_phase = [&phase](const PostedPhase& posted) { return posted.phase == phase; };
    auto posted = std::find_if(posted_.begin(), posted_.end(), is_phase);
    if (posted == posted_.end()) {
      RALLY_RETURN_IF_ERROR(PostPhase(phase));
      posted = std::prev(posted_.end());
    }
    RALLY_RETURN_IF_ERROR(Await(posted->receives));
    const std::vector<Buffer> requests = std::move(posted->requests);
    posted_.erase(posted);
    RALLY_ASSIGN_OR_RETURN(std::vector<Buffer> replies, Compute(phase, requests));
    return Send(phase, std::move(replies));
  }

  absl::Status ServeStep() override {
    const auto first = static_cast<size_t>(collected_.first());
    for (size_t i = first; i < order_.size(); ++i) {
      if (i == first) RALLY_RETURN_IF_ERROR(PostPhase(order_[first]));
      if (i + 1 < order_.size()) RALLY_RETURN_IF_ERROR(PostPhase(order_[i + 1]));
      RALLY_RETURN_IF_ERROR(ServePhase(order_[i]));
    }
    return FinishSending();
  }

  ServerStepStats stats() const override { return stats_; }

 private:
  // A phase whose requests are on their way.
  struct PostedPhase {
    Phase phase;
    std::vector<Buffer> requests;  // By route; stay where they are, as the replies below do.
    std::vector<Transfer> receives;
  };
  // Replies on their way.
  struct Sending {
    std::vector<Buffer> replies;
    std::vector<Transfer> sends;
  };

  // Of PhaseOrder, among the phases that workers have not all before them; beyond: the same for
  // all.
  int64_t IndexOf(const Phase& phase) const {
    const int64_t end = std::min<int64_t>(collected_.end(), static_cast<int64_t>(order_.size()));
    return std::find(order_.begin(), order_.begin() + end, phase) - order_.begin();
  }

  const ServerLayout& LayoutOf(const Phase& phase) {
    RALLY_CHECK(plan_ != nullptr, "a phase before BeginStep");
    const MicroBatch& micro_batch = plan_->micro_batches[phase.micro_batch];
    const int64_t index = IndexOf(phase);
    const bool whole = index >= collected_.end();
    std::optional<ServerLayout>& layout =
        whole ? layouts_[{phase.micro_batch, phase.nano_batch}] : open_layouts_[index];
    if (!layout.has_value()) {
      layout = MakeServerLayout(micro_batch, OpenTasks(*plan_, phase, index, collected_),
                                transport_->rank(), options_.shape.mask);
    }
    return *layout;
  }

  // The replies, by route.
  absl::StatusOr<std::vector<Buffer>> Compute(const Phase& phase,
                                              const std::vector<Buffer>& requests) {
    const ServerLayout& layout = LayoutOf(phase);
    const bool backward = phase.direction == Direction::kBackward;
    ServerPhase memory(&layout, sizes_, backward, requests, pool_);
    const VarlenBatch batch = memory.MakeBatch();
    if (!batch.empty()) {
      const absl::Time start = absl::Now();
      RALLY_RETURN_IF_ERROR(backward ? kernel_->Backward(kernel_shape_, batch)
                                     : kernel_->Forward(kernel_shape_, batch));
      stats_.compute += absl::Now() - start;
    }
    stats_.pairs += layout.pairs;
    stats_.tasks += static_cast<int64_t>(layout.tasks.size());
    return memory.TakeReplies();
  }

  // Begins to send, then finishes the phase before: its replies had this phase's time to travel.
  absl::Status Send(const Phase& phase, std::vector<Buffer> replies) {
    Sending sending;
    const std::vector<Route>& routes = LayoutOf(phase).routes;
    const int64_t index = IndexOf(phase);
    sending.replies = std::move(replies);
    for (size_t i = 0; i < routes.size(); ++i) {
      Buffer& reply = sending.replies[i];
      if (reply.size() == 0 || !collected_.Awaits(routes[i].home, index)) continue;
      sending.sends.push_back(transport_->SendBuffer(
          routes[i].home, TagOf(phase, MessageKind::kReply, transport_->rank()), &reply));
    }
    std::swap(sending, sending_);
    return Await(sending.sends);
  }

  absl::Status FinishSending() {
    const Sending sending = std::exchange(sending_, {});
    return Await(sending.sends);
  }

  absl::Status Await(const std::vector<Transfer>& transfers) {
    const absl::Time start = absl::Now();
    const absl::Status status = transport_->Wait(transfers, start + options_.phase_timeout);
    stats_.waiting += absl::Now() - start;
    return status;
  }

  Tag TagOf(const Phase& phase, MessageKind kind, int32_t source) const {
    Tag tag;
    tag.epoch = options_.epoch;
    tag.round = plan_->round;
    tag.micro_batch = phase.micro_batch;
    tag.layer = phase.layer;
    tag.nano_batch = phase.nano_batch;
    tag.backward = phase.direction == Direction::kBackward;
    tag.kind = kind;
    tag.source = source;
    return tag;
  }

  const AttentionServerOptions options_;
  const RowSizes sizes_;
  Transport* const transport_;
  AttentionKernel* const kernel_;
  BufferPool* const pool_;
  AttentionShape kernel_shape_;

  std::shared_ptr<const Plan> plan_;
  CollectedPhases collected_;
  std::vector<Phase> order_;  // PhaseOrder.
  // Made when first asked for: by micro-batch and nano-batch, and of phases that some workers have
  // behind them, by their index.
  std::map<std::pair<int32_t, int32_t>, std::optional<ServerLayout>> layouts_;
  std::map<int64_t, std::optional<ServerLayout>> open_layouts_;
  std::deque<PostedPhase> posted_;
  Sending sending_;  // Of the last phase served.
  ServerStepStats stats_;
};

}  // namespace

std::unique_ptr<AttentionServer> MakeAttentionServer(const AttentionServerOptions& options,
                                                     Transport* transport, AttentionKernel* kernel,
                                                     BufferPool* pool) {
  return std::make_unique<AttentionServerImpl>(options, transport, kernel, pool);
}

}  // namespace rally
