#include "workers/model/remote_attention.h"

#include <limits>
#include <utility>

#include <ATen/ATen.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <torch/csrc/autograd/custom_function.h>

#include "common/check.h"
#include "common/status_macros.h"
#include "workers/model/status_error.h"

namespace rally {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RemoteAttention::Exchange : torch::CustomClassHolder {
  ~Exchange() override { GiveUp(); }

  // Lets go of the attention and its pool. A backward pass that failed leaves nodes in the engine's
  // queue of this thread, which may hold an exchange for longer than its job lives.
  void GiveUp() {
    if (attention == nullptr) return;
    if (!transfers.empty()) {
      // Left by an error: nothing may move through these buffers once they are back in the pool.
      attention->transport_->Abort(absl::CancelledError("the training step was given up"));
      (void)attention->transport_->Wait(transfers, absl::InfiniteFuture());
      transfers.clear();
    }
    requests.clear();
    replies.clear();
    attention->exchanges_.erase(this);
    attention = nullptr;
  }

  RemoteAttention* attention = nullptr;
  Phase phase;  // Forward.
  std::vector<const Route*> routes;
  int64_t tokens = 0;  // T
  // Detached: they may share memory with the graph's tensors but do not keep the graph alive. In
  // the job's element; what ping has of keys and values is shared with pong.
  at::Tensor q_TNH;
  std::array<at::Tensor, kNanoBatches> k_TMH;
  std::array<at::Tensor, kNanoBatches> v_TMH;
  at::Tensor out_TNH;
  at::Tensor lse_TN;
  std::vector<Buffer> requests;
  std::vector<Buffer> replies;
  std::vector<Transfer> transfers;  // Under way.
};

namespace {

using Exchange = RemoteAttention::Exchange;
using ExchangePointer = c10::intrusive_ptr<Exchange>;

at::ScalarType TypeOf(AttentionElement element) {
  return element == AttentionElement::kBfloat16 ? at::kBFloat16 : at::kFloat;
}

const void* Data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr() : nullptr;
}

HomeInputs InputsOf(const Exchange& exchange) {
  HomeInputs inputs;
  inputs.q_TNH = Data(exchange.q_TNH);
  for (int nano = 0; nano < kNanoBatches; ++nano) {
    inputs.k_TMH[nano] = Data(exchange.k_TMH[nano]);
    inputs.v_TMH[nano] = Data(exchange.v_TMH[nano]);
  }
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
    exchange->attention->Post(Direction::kForward, InputsOf(*exchange), exchange.get());
    return at::zeros({1}, q_TNH.options());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& /*of the ticket*/) {
    const ExchangePointer exchange = Load(ctx);
    exchange->attention->ServeAndWait(Direction::kBackward, exchange.get());
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
    exchange->replies.clear();
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
    exchange->attention->ServeAndWait(Direction::kForward, exchange.get());
    const at::Tensor out_TNH = at::empty_like(exchange->q_TNH, at::kFloat);
    exchange->out_TNH = out_TNH.detach();
    exchange->lse_TN = at::empty({out_TNH.size(0), out_TNH.size(1)}, out_TNH.options());
    exchange->attention->Merge(exchange.get());
    return out_TNH;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const ExchangePointer exchange = Load(ctx);
    const at::Tensor d_out_TNH = gradients[0].to(exchange->q_TNH.scalar_type()).contiguous();
    // Of d_out as the server has it, so that a row of ds sums to zero there.
    const at::Tensor delta_TN = (d_out_TNH * exchange->out_TNH).sum(-1);
    HomeInputs inputs = InputsOf(*exchange);
    inputs.d_out_TNH = Data(d_out_TNH);
    inputs.lse_TN = exchange->lse_TN.data_ptr<float>();
    inputs.delta_TN = delta_TN.data_ptr<float>();
    exchange->attention->Post(Direction::kBackward, inputs, exchange.get());
    exchange->out_TNH.reset();
    exchange->lse_TN.reset();
    return {at::Tensor(), at::zeros({1}, gradients[0].options())};
  }
};

Phase InDirection(Phase phase, Direction direction) {
  phase.direction = direction;
  return phase;
}

// Ping and pong of one layer and direction.
bool SameLayer(const Phase& a, const Phase& b) {
  return a.micro_batch == b.micro_batch && a.layer == b.layer && a.direction == b.direction;
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
      sizes_(RowSizesOf(options.shape, options.element)),
      transport_(transport),
      pool_(pool),
      service_(std::move(service)) {}

RemoteAttention::~RemoteAttention() {
  while (!exchanges_.empty()) (*exchanges_.begin())->GiveUp();
}

absl::Status RemoteAttention::BeginRound(std::shared_ptr<const Plan> plan) {
  plan_ = std::move(plan);
  order_ = PhaseOrder(*plan_, options_.shape.layers);
  posted_ = 0;
  served_ = 0;
  collected_ = 0;
  waiting_ = absl::ZeroDuration();
  routes_.assign(plan_->micro_batches.size(), {});
  for (size_t m = 0; m < routes_.size(); ++m) {
    for (int nano = 0; nano < kNanoBatches; ++nano) {
      routes_[m][nano] = RoutePhase(*plan_, static_cast<int>(m), nano);
    }
  }
  return service_.begin_step ? service_.begin_step(plan_) : absl::OkStatus();
}

absl::Status RemoteAttention::EndRound() const {
  if (posted_ == order_.size() && collected_ == order_.size()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the step ran ", posted_, " and collected ", collected_,
                                          " of its ", order_.size(), " phases"));
}

at::Tensor RemoteAttention::Dispatch(const Phase& phase, const QueryKeyValue& rows,
                                     const QueryKeyValue* ping) {
  auto exchange = c10::make_intrusive<Exchange>();
  exchange->attention = this;
  exchanges_.insert(exchange.get());
  exchange->phase = phase;
  exchange->routes = routes_[phase.micro_batch][phase.nano_batch].FromHome(options_.rank);
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

void RemoteAttention::Post(Direction direction, const HomeInputs& inputs, Exchange* exchange) {
  const Phase phase = InDirection(exchange->phase, direction);
  ThrowIfError(CheckNext(phase, posted_++));
  if (service_.post_phase) ThrowIfError(service_.post_phase(phase));
  exchange->replies.clear();
  exchange->requests.clear();
  for (const Route* route : exchange->routes) PostRoute(*route, phase, inputs, exchange);
}

void RemoteAttention::PostRoute(const Route& route, const Phase& phase, const HomeInputs& inputs,
                                Exchange* exchange) {
  const bool backward = phase.direction == Direction::kBackward;
  Buffer reply = pool_->Allocate(LayOutReply(route, sizes_, backward).bytes());
  if (reply.size() > 0) {
    exchange->transfers.push_back(transport_->Receive(
        route.server, MakeTag(phase, MessageKind::kReply, route.server), reply.bytes()));
  }
  exchange->replies.push_back(std::move(reply));
  Buffer request = pool_->Allocate(LayOutRequest(route, sizes_, backward).size);
  PackRequest(route, sizes_, backward, inputs, request.bytes());
  exchange->transfers.push_back(transport_->Send(
      route.server, MakeTag(phase, MessageKind::kRequest, options_.rank), request.bytes()));
  exchange->requests.push_back(std::move(request));
}

void RemoteAttention::ServeAndWait(Direction direction, Exchange* exchange) {
  const Phase phase = InDirection(exchange->phase, direction);
  ThrowIfError(CheckNext(phase, collected_++));
  // Everything of this layer that is under way is served before the wait, so one nano-batch's
  // replies travel while the other one is served.
  while (served_ < posted_ && SameLayer(order_[served_], phase)) {
    const Phase& next = order_[served_++];
    if (service_.serve_phase) ThrowIfError(service_.serve_phase(next));
  }
  const absl::Time start = absl::Now();
  const absl::Status status = transport_->Wait(exchange->transfers, start + options_.phase_timeout);
  waiting_ += absl::Now() - start;
  exchange->transfers.clear();
  exchange->requests.clear();
  ThrowIfError(Annotate(status, Describe(phase)));
}

void RemoteAttention::Merge(Exchange* exchange) const {
  std::vector<absl::Span<const float>> replies;
  for (const Buffer& reply : exchange->replies) replies.push_back(reply.floats());
  MergeReplies(exchange->routes, sizes_, replies, exchange->tokens,
               exchange->out_TNH.data_ptr<float>(), exchange->lse_TN.data_ptr<float>());
  exchange->replies.clear();
}

void RemoteAttention::Accumulate(const HomeGradients& gradients, const Exchange& exchange) const {
  for (size_t r = 0; r < exchange.routes.size(); ++r) {
    AddGradients(*exchange.routes[r], sizes_, exchange.replies[r].floats(), gradients);
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

}  // namespace rally
