#include "workers/profile/phase_costs.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <absl/time/clock.h>

#include "common/median.h"
#include "common/status_macros.h"
#include "scheduler/message_layout.h"
#include "scheduler/phase_routes.h"
#include "scheduler/planner.h"
#include "workers/attention/attention_server.h"
#include "workers/model/phase_messages.h"
#include "workers/profile/repeated_timing.h"
#include "workers/transport/buffer.h"
#include "workers/transport/in_process_transport.h"

namespace rally {
namespace {

constexpr int64_t kFewTokens = 16;
constexpr int64_t kManyTokens = 1024;
constexpr absl::Duration kPatience = absl::Seconds(60);

// One document on the only worker, which serves itself.
absl::StatusOr<Plan> OneDocument(const ModelShape& model, int64_t tokens) {
  Plan plan;
  plan.workers = 1;
  plan.documents = {{.tokens = tokens, .targets = tokens - 1}};
  plan.micro_batches.resize(1);
  plan.micro_batches[0].chunks.resize(1);
  plan.micro_batches[0].chunks[0].nano_batches[0] = {{0, 0, tokens}};
  RALLY_RETURN_IF_ERROR(AssignLocally(Topology{}, model, &plan));
  return plan;
}

// Home and server of one phase, both here.
class LocalPhase {
 public:
  LocalPhase(const ModelShape& model, AttentionElement element, Plan plan, AttentionKernel* kernel)
      : sizes_(RowSizesOf(model, element)),
        plan_(std::make_shared<const Plan>(std::move(plan))),
        routes_(RoutePhase(*plan_, 0, 0)),
        transport_(std::move(MakeInProcessTransports(1)[0])) {
    AttentionServerOptions options;
    options.shape = model;
    options.shape.layers = 1;
    options.element = element;
    server_ = MakeAttentionServer(options, transport_.get(), kernel, &pool_);
    const int64_t tokens = plan_->documents[0].tokens;
    // As bfloat16, these are rows of 0 and 0.5.
    for (auto* rows : {&q_, &out_, &d_out_, &d_q_}) rows->assign(tokens * sizes_.query, 0.5f);
    for (auto* rows : {&k_, &v_, &d_k_, &d_v_}) rows->assign(tokens * sizes_.keys, 0.5f);
    for (auto* rows : {&lse_, &delta_}) rows->assign(tokens * sizes_.heads, 0.5f);
  }

  absl::Status Connect() { return transport_->Connect({transport_->address()}, ""); }

  absl::Status BeginStep() { return server_->BeginStep(plan_); }

  // Seconds of the next phase without the kernel.
  absl::StatusOr<double> Run(Direction direction) {
    const bool backward = direction == Direction::kBackward;
    const Phase phase{0, 0, 0, direction};
    const Route& route = routes_.routes[0];
    const absl::Duration kernel_before = server_->stats().compute;
    const absl::Time start = absl::Now();
    RALLY_RETURN_IF_ERROR(server_->PostPhase(phase));
    const Buffer reply = pool_.Allocate(LayOutReply(route, sizes_, backward).bytes());
    const Buffer request = pool_.Allocate(LayOutRequest(route, sizes_, backward).size);
    Tag tag{.backward = backward, .kind = MessageKind::kReply};
    const Transfer receive = transport_->Receive(0, tag, reply.bytes());
    PackRequest(route, sizes_, backward, Inputs(), request.bytes());
    tag.kind = MessageKind::kRequest;
    const Transfer send = transport_->Send(0, tag, request.bytes());
    RALLY_RETURN_IF_ERROR(server_->ServePhase(phase));
    RALLY_RETURN_IF_ERROR(transport_->Wait({send, receive}, absl::Now() + kPatience));
    backward ? Accumulate(route, reply.floats()) : Merge(route, reply.floats());
    return absl::ToDoubleSeconds(absl::Now() - start - (server_->stats().compute - kernel_before));
  }

  double Bytes(Direction direction) const {
    const bool backward = direction == Direction::kBackward;
    const Route& route = routes_.routes[0];
    return static_cast<double>(LayOutRequest(route, sizes_, backward).size +
                               LayOutReply(route, sizes_, backward).bytes());
  }

 private:
  HomeInputs Inputs() const {
    return {.q_TNH = q_.data(),
            .k_TMH = {k_.data(), nullptr},
            .v_TMH = {v_.data(), nullptr},
            .d_out_TNH = d_out_.data(),
            .lse_TN = lse_.data(),
            .delta_TN = delta_.data()};
  }
  void Merge(const Route& route, absl::Span<const float> reply) {
    const Route* const routes[] = {&route};
    const absl::Span<const float> replies[] = {reply};
    MergeReplies(routes, sizes_, replies, plan_->documents[0].tokens, out_.data(), lse_.data());
  }
  void Accumulate(const Route& route, absl::Span<const float> reply) {
    for (auto* rows : {&d_q_, &d_k_, &d_v_}) std::fill(rows->begin(), rows->end(), 0.0f);
    AddGradients(route, sizes_, reply,
                 {.d_q_TNH = d_q_.data(),
                  .d_k_TMH = {d_k_.data(), nullptr},
                  .d_v_TMH = {d_v_.data(), nullptr}});
  }

  const RowSizes sizes_;
  const std::shared_ptr<const Plan> plan_;
  const PhaseRoutes routes_;
  BufferPool pool_;
  const std::unique_ptr<Transport> transport_;
  std::unique_ptr<AttentionServer> server_;
  std::vector<float> q_, out_, d_out_, d_q_, k_, v_, d_k_, d_v_, lse_, delta_;
};

struct PhaseTimes {
  std::array<double, kDirections> seconds;
  std::array<double, kDirections> bytes;
};

absl::StatusOr<PhaseTimes> Measure(const ModelShape& model, AttentionElement element,
                                   int64_t tokens, int repeats, AttentionKernel* kernel) {
  RALLY_ASSIGN_OR_RETURN(Plan plan, OneDocument(model, tokens));
  LocalPhase phase(model, element, std::move(plan), kernel);
  RALLY_RETURN_IF_ERROR(phase.Connect());
  std::array<std::vector<double>, kDirections> samples;
  for (int i = 0; i <= repeats; ++i) {
    RALLY_RETURN_IF_ERROR(phase.BeginStep());
    for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
      RALLY_ASSIGN_OR_RETURN(const double seconds, phase.Run(direction));
      if (i > 0) samples[static_cast<size_t>(direction)].push_back(seconds);  // After a warm-up.
    }
  }
  return PhaseTimes{{Median(samples[0]), Median(samples[1])},
                    {phase.Bytes(Direction::kForward), phase.Bytes(Direction::kBackward)}};
}

}  // namespace

absl::StatusOr<std::array<Profile::Cost, kDirections>> MeasurePhaseCosts(const ModelShape& model,
                                                                         AttentionElement element,
                                                                         int repeats,
                                                                         AttentionKernel* kernel) {
  RALLY_ASSIGN_OR_RETURN(const PhaseTimes few,
                         Measure(model, element, kFewTokens, repeats, kernel));
  RALLY_ASSIGN_OR_RETURN(const PhaseTimes many,
                         Measure(model, element, kManyTokens, repeats, kernel));
  std::array<Profile::Cost, kDirections> costs;
  for (size_t d = 0; d < kDirections; ++d) {
    const double each =
        std::max(0.0, many.seconds[d] - few.seconds[d]) / (many.bytes[d] - few.bytes[d]);
    costs[d] = {std::max(0.0, few.seconds[d] - few.bytes[d] * each), each};
  }
  return costs;
}

}  // namespace rally
