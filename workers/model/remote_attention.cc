#include "workers/model/remote_attention.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/ATen.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <torch/csrc/autograd/custom_function.h>

#include "common/check.h"
#include "common/status_macros.h"
#include "workers/model/attention_exchange.h"
#include "workers/model/status_error.h"

namespace rally {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

using Exchange = RemoteAttention::Exchange;
using ExchangePointer = c10::intrusive_ptr<Exchange>;

at::ScalarType TypeOf(AttentionElement element) {
  return element == AttentionElement::kBfloat16 ? at::kBFloat16 : at::kFloat;
}

const void* Data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr() : nullptr;
}

const float* Floats(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

HomeInputs InputsOf(const Exchange& exchange) {
  HomeInputs inputs;
  inputs.q_TNH = Data(exchange.q_TNH);
  for (int nano = 0; nano < kNanoBatches; ++nano) {
    inputs.k_TMH[nano] = Data(exchange.k_TMH[nano]);
    inputs.v_TMH[nano] = Data(exchange.v_TMH[nano]);
  }
  inputs.d_out_TNH = Data(exchange.d_out_TNH);
  inputs.lse_TN = Floats(exchange.lse_TN);
  inputs.delta_TN = Floats(exchange.delta_TN);
  return inputs;
}

void Save(const ExchangePointer& exchange, AutogradContext* ctx) {
  ctx->saved_data["exchange"] = c10::IValue::make_capsule(exchange);
}

ExchangePointer Load(AutogradContext* ctx) {
  return c10::static_intrusive_pointer_cast<Exchange>(ctx->saved_data["exchange"].toCapsule());
}

class DispatchFunction : public torch::autograd::Function<DispatchFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const ExchangePointer& exchange,
                            const at::Tensor& q_TNH, const at::Tensor& /*k_TMH*/,
                            const at::Tensor& /*v_TMH*/, const c10::optional<at::Tensor>& /*ping*/,
                            const c10::optional<at::Tensor>& /*ping*/) {
    Save(exchange, ctx);
    exchange->attention->Post(Direction::kForward, exchange);
    return at::zeros({1}, q_TNH.options());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& /*of the ticket*/) {
    const ExchangePointer exchange = Load(ctx);
    exchange->attention->ServeAndWait(Direction::kBackward, exchange);
    const at::Tensor d_q_TNH = at::zeros_like(exchange->q_TNH, at::kFloat);
    std::array<at::Tensor, kNanoBatches> d_k_TMH;
    std::array<at::Tensor, kNanoBatches> d_v_TMH;
    HomeGradients gradients;
    gradients.d_q_TNH = d_q_TNH.data_ptr<float>();
    for (int nano = 0; nano < kNanoBatches; ++nano) {
      if (!exchange->k_TMH[nano].defined()) continue;
      d_k_TMH[nano] = at::zeros_like(exchange->k_TMH[nano], at::kFloat);
      d_v_TMH[nano] = at::zeros_like(exchange->v_TMH[nano], at::kFloat);
      gradients.d_k_TMH[nano] = d_k_TMH[nano].data_ptr<float>();
      gradients.d_v_TMH[nano] = d_v_TMH[nano].data_ptr<float>();
    }
    exchange->attention->Accumulate(gradients, *exchange);
    exchange->messages.replies.clear();
    const int own = exchange->phase.nano_batch;
    const bool with_ping = own == 1 && d_k_TMH[0].defined();
    return {at::Tensor(),
            d_q_TNH,
            d_k_TMH[own],
            d_v_TMH[own],
            with_ping ? d_k_TMH[0] : at::Tensor(),
            with_ping ? d_v_TMH[0] : at::Tensor()};
  }
};

class CollectFunction : public torch::autograd::Function<CollectFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const ExchangePointer& exchange,
                            const at::Tensor& /*ticket*/) {
    Save(exchange, ctx);
    exchange->attention->ServeAndWait(Direction::kForward, exchange);
    const at::Tensor out_TNH = at::empty_like(exchange->q_TNH, at::kFloat);
    exchange->out_TNH = out_TNH.detach();
    exchange->lse_TN = at::empty({out_TNH.size(0), out_TNH.size(1)}, out_TNH.options());
    exchange->attention->Merge(exchange.get());
    return out_TNH;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const ExchangePointer exchange = Load(ctx);
    exchange->d_out_TNH = gradients[0].to(exchange->q_TNH.scalar_type()).contiguous();
    // Of d_out as the server has it, so that a row of ds sums to zero there.
    exchange->delta_TN = (exchange->d_out_TNH * exchange->out_TNH).sum(-1);
    exchange->out_TNH.reset();
    exchange->attention->Post(Direction::kBackward, exchange);
    return {at::Tensor(), at::zeros({1}, gradients[0].options())};
  }
};

Phase InDirection(Phase phase, Direction direction) {
  phase.direction = direction;
  return phase;
}

std::string Describe(const Phase& phase) {
  return absl::StrCat("micro-batch ", phase.micro_batch, " layer ", phase.layer,
                      phase.nano_batch == 0 ? " ping" : " pong",
                      phase.direction == Direction::kForward ? " forward" : " backward");
}

}  // namespace

RemoteAttention::RemoteAttention(const RemoteAttentionOptions& options, Transport* transport,
                                 BufferPool* pool, InPlaceService service)
    : options_(options),
      epoch_(options.epoch),
      sizes_(RowSizesOf(options.shape, options.element)),
      transport_(transport),
      pool_(pool),
      service_(std::move(service)) {}

RemoteAttention::~RemoteAttention() {
  while (!exchanges_.empty()) (*exchanges_.begin())->GiveUp();
}

void RemoteAttention::UsePool(Transport* transport, uint32_t epoch) {
  transport_ = transport;
  epoch_ = epoch;
  resent_.clear();
}

void RemoteAttention::BeginRound(std::shared_ptr<const Plan> plan,
                                 const CollectedPhases& collected) {
  // All workers have been through the last round: these have moved, unless the transport has
  // failed.
  (void)transport_->Wait(resent_.transfers, absl::Now() + options_.phase_timeout);
  resent_.clear();
  order_ = PhaseOrder(*plan, options_.shape.layers);
  kept_.assign(order_.size(), ExchangePointer());
  posted_ = 0;
  served_ = 0;
  collected_ = 0;
  waiting_ = absl::ZeroDuration();
  longest_wait_ /= 2;  // Forgets a round that was slow for once.
  if (absl::Status status = TakePlan(std::move(plan), collected); !status.ok()) Recover(status);
}

absl::Status RemoteAttention::TakePlan(std::shared_ptr<const Plan> plan,
                                       const CollectedPhases& collected) {
  plan_ = std::move(plan);
  standings_ = collected;
  routes_.assign(plan_->micro_batches.size(), {});
  for (size_t m = 0; m < routes_.size(); ++m) {
    for (int nano = 0; nano < kNanoBatches; ++nano) {
      routes_[m][nano] = RoutePhase(*plan_, static_cast<int>(m), nano);
    }
  }
  return service_.begin_step ? service_.begin_step(plan_, standings_) : absl::OkStatus();
}

absl::Status RemoteAttention::EndRound() const {
  if (posted_ == order_.size() && collected_ == order_.size()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the step ran ", posted_, " and collected ", collected_,
                                          " of its ", order_.size(), " phases"));
}

bool RemoteAttention::SameLayer(const Phase& a, const Phase& b) {
  return a.micro_batch == b.micro_batch && a.layer == b.layer && a.direction == b.direction;
}

at::Tensor RemoteAttention::Dispatch(const Phase& phase, const QueryKeyValue& rows,
                                     const QueryKeyValue* ping) {
  auto exchange = c10::make_intrusive<Exchange>();
  exchange->attention = this;
  exchanges_.insert(exchange.get());
  exchange->phase = phase;
  exchange->tokens = rows.q_TNH.size(0);
  const auto as_sent = [this](const at::Tensor& tensor) {
    return tensor.detach().to(TypeOf(options_.element)).contiguous();
  };
  exchange->q_TNH = as_sent(rows.q_TNH);
  exchange->k_TMH[phase.nano_batch] = as_sent(rows.k_TMH);
  exchange->v_TMH[phase.nano_batch] = as_sent(rows.v_TMH);
  c10::optional<at::Tensor> ping_k;
  c10::optional<at::Tensor> ping_v;
  if (ping != nullptr) {
    RALLY_CHECK(!dispatched_.empty(), "pong came before ping");
    exchange->k_TMH[0] = dispatched_.back()->k_TMH[0];
    exchange->v_TMH[0] = dispatched_.back()->v_TMH[0];
    ping_k = ping->k_TMH;
    ping_v = ping->v_TMH;
  }
  dispatched_.push_back(exchange);
  return DispatchFunction::apply(exchange, rows.q_TNH, rows.k_TMH, rows.v_TMH, ping_k, ping_v);
}

at::Tensor RemoteAttention::Collect(const at::Tensor& ticket) {
  RALLY_CHECK(!dispatched_.empty(), "no phase has been dispatched");
  const ExchangePointer exchange = std::move(dispatched_.front());
  dispatched_.pop_front();
  return CollectFunction::apply(exchange, ticket);
}

void RemoteAttention::Post(Direction direction, const ExchangePointer& exchange) {
  const Phase phase = InDirection(exchange->phase, direction);
  ThrowIfError(CheckNext(phase, posted_));
  if (posted_ > 0 && order_[posted_ - 1].micro_batch != phase.micro_batch) ForgetMicroBatch();
  kept_[posted_++] = exchange;
  if (absl::Status status = SendPhase(posted_ - 1); !status.ok()) Recover(status);
}

absl::Status RemoteAttention::SendPhase(size_t index) {
  const Phase& phase = order_[index];
  if (service_.post_phase) RALLY_RETURN_IF_ERROR(service_.post_phase(phase));
  Exchange& exchange = *kept_[index];
  exchange.messages.clear();
  exchange.routes = RoutesOf(index, &exchange.open_routes);
  const bool backward = phase.direction == Direction::kBackward;
  for (const Route* route : exchange.routes) {
    exchange.messages.replies.push_back(
        pool_->Allocate(LayOutReply(*route, sizes_, backward).bytes()));
    Buffer& reply = exchange.messages.replies.back();
    if (reply.size() > 0) {
      exchange.messages.transfers.push_back(transport_->ReceiveBuffer(
          route->server, MakeTag(phase, MessageKind::kReply, route->server), &reply));
    }
    SendRequest(*route, phase, exchange, &exchange.messages);
  }
  return absl::OkStatus();
}

std::vector<const Route*> RemoteAttention::RoutesOf(size_t index, PhaseRoutes* open) const {
  const Phase& phase = order_[index];
  const auto at = static_cast<int64_t>(index);
  if (at >= standings_.end()) {
    return routes_[phase.micro_batch][phase.nano_batch].FromHome(options_.rank);
  }
  *open =
      RouteTasks(plan_->micro_batches[phase.micro_batch], OpenTasks(*plan_, phase, at, standings_));
  return open->FromHome(options_.rank);
}

void RemoteAttention::SendRequest(const Route& route, const Phase& phase, const Exchange& exchange,
                                  Messages* messages) {
  const bool backward = phase.direction == Direction::kBackward;
  messages->requests.push_back(pool_->Allocate(LayOutRequest(route, sizes_, backward).size));
  Buffer& request = messages->requests.back();
  PackRequest(route, sizes_, backward, InputsOf(exchange), request.bytes());
  messages->transfers.push_back(transport_->SendBuffer(
      route.server, MakeTag(phase, MessageKind::kRequest, options_.rank), &request));
}

void RemoteAttention::ServeAndWait(Direction direction, const ExchangePointer& exchange) {
  const Phase phase = InDirection(exchange->phase, direction);
  ThrowIfError(CheckNext(phase, collected_));
  for (absl::Status status = TryCollect(phase, exchange.get()); !status.ok();
       status = TryCollect(phase, exchange.get())) {
    Recover(Annotate(status, Describe(phase)));
  }
  exchange->messages.requests.clear();
  exchange->messages.transfers.clear();
  if (direction == Direction::kBackward) ForgetLayerAbove(collected_);
  ++collected_;
}

absl::Status RemoteAttention::TryCollect(const Phase& phase, Exchange* exchange) {
  // Everything of this layer that is under way is served before the wait, so one nano-batch's
  // replies travel while the other one is served.
  while (served_ < posted_ && SameLayer(order_[served_], phase)) {
    if (service_.serve_phase) RALLY_RETURN_IF_ERROR(service_.serve_phase(order_[served_]));
    ++served_;
  }
  const std::vector<Transfer>& transfers = exchange->messages.transfers;
  const absl::Time start = absl::Now();
  // Says so again whenever the wait has doubled: the coordinator forgets with every round.
  for (absl::Duration late = LateAfter(); service_.report_late && late < options_.phase_timeout;
       late *= 2) {
    if (transport_->AwaitUntil(transfers, start + late)) break;
    service_.report_late(absl::StrCat(Describe(phase), " is late"));
  }
  const absl::Status status = transport_->Wait(transfers, start + options_.phase_timeout);
  const absl::Duration waited = absl::Now() - start;
  if (status.ok()) longest_wait_ = std::max(longest_wait_, waited);
  waiting_ += waited;
  return status;
}

absl::Duration RemoteAttention::LateAfter() const {
  constexpr absl::Duration kLeast = absl::Milliseconds(200);  // Scheduling alone may take some.
  constexpr int kTimesUsual = 3;
  if (longest_wait_ == absl::ZeroDuration()) return absl::Seconds(2);  // Nothing is known yet.
  return std::max(kLeast, kTimesUsual * longest_wait_);
}

void RemoteAttention::Merge(Exchange* exchange) const {
  std::vector<absl::Span<const float>> replies;
  for (const Buffer& reply : exchange->messages.replies) replies.push_back(reply.floats());
  MergeReplies(exchange->routes, sizes_, replies, exchange->tokens,
               exchange->out_TNH.data_ptr<float>(), exchange->lse_TN.data_ptr<float>());
  exchange->messages.replies.clear();
}

void RemoteAttention::Accumulate(const HomeGradients& gradients, const Exchange& exchange) const {
  for (size_t r = 0; r < exchange.routes.size(); ++r) {
    AddGradients(*exchange.routes[r], sizes_, exchange.messages.replies[r].floats(), gradients);
  }
}

absl::Status RemoteAttention::CheckNext(const Phase& phase, size_t position) const {
  if (position < order_.size() && order_[position] == phase) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      "phase ", Describe(phase), " ran where the plan has ",
      position < order_.size() ? Describe(order_[position]) : std::string("nothing more")));
}

Tag RemoteAttention::MakeTag(const Phase& phase, MessageKind kind, int32_t source) const {
  Tag tag;
  tag.epoch = epoch_;
  tag.round = plan_->round;
  tag.micro_batch = phase.micro_batch;
  tag.layer = phase.layer;
  tag.nano_batch = phase.nano_batch;
  tag.backward = phase.direction == Direction::kBackward;
  tag.kind = kind;
  tag.source = source;
  return tag;
}

}  // namespace rally
