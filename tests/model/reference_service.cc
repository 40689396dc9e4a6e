#include "tests/model/reference_service.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "tests/attention/bfloat16.h"

namespace rally::testing {
namespace {

double Dot(const float* a, const float* b, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

ReferenceService::ReferenceService(const ModelShape& shape, AttentionElement element,
                                   uint32_t epoch, Transport* transport)
    : shape_(shape), element_(element), epoch_(epoch), transport_(transport) {}

InPlaceService ReferenceService::service() {
  InPlaceService service;
  service.begin_step = [this](std::shared_ptr<const Plan> plan, const CollectedPhases&) {
    return BeginStep(std::move(plan));
  };
  service.serve_phase = [this](const Phase& phase) { return ServePhase(phase); };
  return service;
}

absl::Status ReferenceService::BeginStep(std::shared_ptr<const Plan> plan) {
  plan_ = std::move(plan);
  return absl::OkStatus();
}

absl::Status ReferenceService::ServeStep() {
  for (const Phase& phase : PhaseOrder(*plan_, shape_.layers)) {
    RALLY_RETURN_IF_ERROR(ServePhase(phase));
  }
  return absl::OkStatus();
}

absl::Status ReferenceService::ServePhase(const Phase& phase) {
  const PhaseRoutes routes = RoutePhase(*plan_, phase.micro_batch, phase.nano_batch);
  std::vector<Served> served;
  for (const Route* route : routes.ToServer(transport_->rank()))
    served.push_back({route, {}, {}, {}});
  RALLY_RETURN_IF_ERROR(Receive(phase, &served));
  KeyRows keys;
  for (Served& one : served) {
    int64_t row = 0;
    for (const HomeRows& rows : one.route->keys) {
      for (int64_t i = rows.begin; i < rows.end; ++i) keys[{rows.document, i}] = {&one, row++};
    }
  }
  for (Served& one : served) Attend(phase, keys, &one);
  return Reply(phase, served);
}

absl::Status ReferenceService::Receive(const Phase& phase, std::vector<Served>* served) {
  const bool backward = phase.direction == Direction::kBackward;
  const int64_t q_row = shape_.heads * shape_.head_dim;
  const int64_t kv_row = 2 * shape_.kv_heads * shape_.head_dim;
  std::vector<Transfer> transfers;
  for (Served& one : *served) {
    const int64_t elements =
        one.route->query_rows * (backward ? 2 : 1) * q_row + one.route->kv_rows * kv_row;
    const int64_t floats = backward ? 2 * one.route->query_rows * shape_.heads : 0;
    one.received.resize(elements * ElementBytes(element_) + floats * sizeof(float));
    one.reply.assign(backward ? one.route->query_rows * q_row + one.route->kv_rows * kv_row
                              : one.route->query_rows * (q_row + shape_.heads),
                     0.0f);
    transfers.push_back(transport_->Receive(one.route->home,
                                            MakeTag(phase, MessageKind::kRequest, one.route->home),
                                            absl::MakeSpan(one.received)));
  }
  RALLY_RETURN_IF_ERROR(transport_->Wait(transfers, absl::Now() + absl::Seconds(60)));
  for (Served& one : *served) one.request = AsFloats(one, backward);
  return absl::OkStatus();
}

std::vector<float> ReferenceService::AsFloats(const Served& served, bool backward) const {
  const size_t floats = backward ? 2 * served.route->query_rows * shape_.heads : 0;
  const std::byte* from = served.received.data();
  const std::byte* const end = from + served.received.size();
  std::vector<float> values;
  while (from < end) {
    float x = 0.0f;
    uint16_t element = 0;
    // lse and delta end the message.
    const bool wide = element_ == AttentionElement::kFloat32 || from >= end - floats * sizeof(x);
    std::memcpy(wide ? static_cast<void*>(&x) : &element, from, wide ? sizeof(x) : sizeof(element));
    values.push_back(wide ? x : FromBfloat16(element));
    from += wide ? sizeof(x) : sizeof(element);
  }
  return values;
}

absl::Status ReferenceService::Reply(const Phase& phase, const std::vector<Served>& served) {
  std::vector<Transfer> transfers;
  for (const Served& one : served) {
    if (one.reply.empty()) continue;
    transfers.push_back(
        transport_->Send(one.route->home, MakeTag(phase, MessageKind::kReply, transport_->rank()),
                         absl::MakeSpan(reinterpret_cast<const std::byte*>(one.reply.data()),
                                        one.reply.size() * sizeof(float))));
  }
  return transport_->Wait(transfers, absl::Now() + absl::Seconds(60));
}

Tag ReferenceService::MakeTag(const Phase& phase, MessageKind kind, int32_t source) const {
  return {epoch_,
          plan_->round,
          phase.micro_batch,
          phase.layer,
          phase.nano_batch,
          phase.direction == Direction::kBackward,
          kind,
          source};
}

void ReferenceService::Attend(const Phase& phase, const KeyRows& keys, Served* served) {
  const auto& tasks = plan_->micro_batches[phase.micro_batch].tasks[phase.nano_batch];
  int64_t row = 0;
  for (size_t i = 0; i < served->route->queries.size(); ++i) {
    const HomeRows& rows = served->route->queries[i];
    for (int64_t position = rows.begin; position < rows.end; ++position, ++row) {
      for (int64_t head = 0; head < shape_.heads; ++head) {
        const CaTask& task = tasks[served->route->tasks[i]];
        const QueryHead query = Score(task, position, row, head, keys, served);
        phase.direction == Direction::kForward ? Forward(query) : Backward(query);
      }
    }
  }
}

int64_t ReferenceService::KeyIndex(const KeyRow& key, int64_t head, bool value) const {
  const Route& route = *key.message->route;
  const int64_t row = (value ? route.kv_rows : 0) + key.row;
  const int64_t kv_head = head / (shape_.heads / shape_.kv_heads);
  return route.query_rows * shape_.heads * shape_.head_dim +
         (row * shape_.kv_heads + kv_head) * shape_.head_dim;
}

ReferenceService::QueryHead ReferenceService::Score(const CaTask& task, int64_t position,
                                                    int64_t row, int64_t head, const KeyRows& keys,
                                                    Served* served) const {
  const int64_t H = shape_.head_dim;
  const float* q = &served->request[(row * shape_.heads + head) * H];
  QueryHead query{served, row, head, {}, {}};
  for (int64_t j = task.kv_begin; j < task.kv_end; ++j) {
    if (AllowedPairs(position, position + 1, j, j + 1, shape_.mask) == 0) continue;
    const KeyRow& key = keys.at({task.document, j});
    const float* k = &key.message->request[KeyIndex(key, head, false)];
    query.keys.push_back(key);
    query.scores.push_back(Dot(q, k, H) / std::sqrt(static_cast<double>(H)));
  }
  return query;
}

void ReferenceService::Forward(const QueryHead& query) const {
  const int64_t H = shape_.head_dim;
  double lse = -std::numeric_limits<double>::infinity();
  for (const double score : query.scores) {
    const double top = std::max(lse, score);
    lse = top + std::log(std::exp(lse - top) + std::exp(score - top));
  }
  std::vector<double> out(H, 0.0);
  for (size_t i = 0; i < query.keys.size(); ++i) {
    const float* v = &query.keys[i].message->request[KeyIndex(query.keys[i], query.head, true)];
    for (int64_t h = 0; h < H; ++h) out[h] += std::exp(query.scores[i] - lse) * v[h];
  }
  std::vector<float>& reply = query.message->reply;
  const int64_t row_head = query.row * shape_.heads + query.head;
  for (int64_t h = 0; h < H; ++h) reply[row_head * H + h] = static_cast<float>(out[h]);
  const int64_t outputs = query.message->route->query_rows * shape_.heads * H;
  reply[outputs + row_head] = static_cast<float>(lse);
}

void ReferenceService::Backward(const QueryHead& query) const {
  const int64_t H = shape_.head_dim;
  const int64_t heads = query.message->route->query_rows * shape_.heads;
  const int64_t row_head = query.row * shape_.heads + query.head;
  const float* q = &query.message->request[row_head * H];
  // d_out, lse and delta follow q, k and v.
  const float* after_qkv = query.message->request.data() + heads * H +
                           query.message->route->kv_rows * 2 * shape_.kv_heads * H;
  const float* d_out = after_qkv + row_head * H;
  const double lse = after_qkv[heads * H + row_head];
  const double delta = after_qkv[heads * H + heads + row_head];
  const double scale = 1.0 / std::sqrt(static_cast<double>(H));
  for (size_t i = 0; i < query.keys.size(); ++i) {
    Served* message = query.keys[i].message;
    const int64_t k = KeyIndex(query.keys[i], query.head, false);
    const int64_t v = KeyIndex(query.keys[i], query.head, true);
    const double p = std::exp(query.scores[i] - lse);
    const double ds = p * (Dot(d_out, &message->request[v], H) - delta);
    for (int64_t h = 0; h < H; ++h) {
      query.message->reply[row_head * H + h] += scale * ds * message->request[k + h];
      message->reply[k + h] += scale * ds * q[h];
      message->reply[v + h] += p * d_out[h];
    }
  }
}

}  // namespace rally::testing
