#include "tests/model/reference_service.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <absl/time/clock.h>

#include "common/status_macros.h"

namespace rally::testing {
namespace {

double Dot(const float* a, const float* b, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

ReferenceService::ReferenceService(const ModelShape& shape, uint32_t epoch, Transport* transport)
    : shape_(shape), epoch_(epoch), transport_(transport) {}

InPlaceService ReferenceService::service() {
  InPlaceService service;
  service.begin_step = [this](std::shared_ptr<const Plan> plan) { return BeginStep(plan); };
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
  for (const Route* route : routes.ToServer(transport_->rank())) served.push_back({route, {}, {}});
  RALLY_RETURN_IF_ERROR(Receive(phase, &served));
  std::map<std::pair<int32_t, int64_t>, KeyRow> keys;
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
    const int64_t per_query = backward ? 2 * q_row + 2 * shape_.heads : q_row;
    one.request.resize(one.route->query_rows * per_query + one.route->kv_rows * kv_row);
    one.reply.assign(backward ? one.route->query_rows * q_row + one.route->kv_rows * kv_row
                              : one.route->query_rows * (q_row + shape_.heads),
                     0.0f);
    transfers.push_back(
        transport_->Receive(one.route->home, MakeTag(phase, MessageKind::kRequest, one.route->home),
                            absl::MakeSpan(reinterpret_cast<std::byte*>(one.request.data()),
                                           one.request.size() * sizeof(float))));
  }
  return transport_->Wait(transfers, absl::Now() + absl::Seconds(60));
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

void ReferenceService::Attend(const Phase& phase,
                              const std::map<std::pair<int32_t, int64_t>, KeyRow>& keys,
                              Served* served) {
  const auto& tasks = plan_->micro_batches[phase.micro_batch].tasks[phase.nano_batch];
  int64_t row = 0;
  for (size_t i = 0; i < served->route->queries.size(); ++i) {
    const HomeRows& rows = served->route->queries[i];
    for (int64_t position = rows.begin; position < rows.end; ++position) {
      AttendRow(phase.direction == Direction::kBackward, tasks[served->route->tasks[i]], position,
                row++, keys, served);
    }
  }
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

void ReferenceService::AttendRow(bool backward, const CaTask& task, int64_t position, int64_t row,
                                 const std::map<std::pair<int32_t, int64_t>, KeyRow>& keys,
                                 Served* served) {
  const int64_t H = shape_.head_dim;
  const int64_t N = shape_.heads;
  const int64_t M = shape_.kv_heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(H));
  const int64_t query_rows = served->route->query_rows;
  const auto key_of = [&](int64_t j) { return keys.at({task.document, j}); };
  // Start of k (or v, with `value`) of a key row in a message whose query part is `before` floats.
  const auto kv_offset = [&](const KeyRow& key, bool value) {
    const int64_t part = value ? key.first->route->kv_rows : 0;
    return key.first->route->query_rows * N * H + (part + key.second) * M * H;
  };
  for (int64_t n = 0; n < N; ++n) {
    const int64_t m = n / (N / M);
    const float* q = served->request.data() + (row * N + n) * H;
    const float* tail = served->request.data() + query_rows * N * H +
                        served->route->kv_rows * 2 * M * H;  // Backward: d_out, lse, delta.
    std::vector<double> score;
    std::vector<int64_t> allowed;
    for (int64_t j = task.kv_begin; j < task.kv_end; ++j) {
      if (AllowedPairs(position, position + 1, j, j + 1, shape_.mask) == 0) continue;
      const KeyRow key = key_of(j);
      const float* k = key.first->request.data() + kv_offset(key, false) + m * H;
      score.push_back(scale * Dot(q, k, H));
      allowed.push_back(j);
    }
    if (!backward) {
      double lse = -std::numeric_limits<double>::infinity();
      for (const double s : score) {
        const double top = std::max(lse, s);
        lse = top + std::log(std::exp(lse - top) + std::exp(s - top));
      }
      std::vector<double> out(H, 0.0);
      for (size_t a = 0; a < allowed.size(); ++a) {
        const KeyRow key = key_of(allowed[a]);
        const float* v = key.first->request.data() + kv_offset(key, true) + m * H;
        for (int64_t h = 0; h < H; ++h) out[h] += std::exp(score[a] - lse) * v[h];
      }
      for (int64_t h = 0; h < H; ++h) served->reply[(row * N + n) * H + h] = out[h];
      served->reply[query_rows * N * H + row * N + n] = lse;
      continue;
    }
    const float* d_out = tail + (row * N + n) * H;
    const double lse = tail[query_rows * N * H + row * N + n];
    const double delta = tail[query_rows * (N * H + N) + row * N + n];
    for (size_t a = 0; a < allowed.size(); ++a) {
      const KeyRow key = key_of(allowed[a]);
      const float* k = key.first->request.data() + kv_offset(key, false) + m * H;
      const float* v = key.first->request.data() + kv_offset(key, true) + m * H;
      float* d_k = key.first->reply.data() + kv_offset(key, false) + m * H;
      float* d_v = key.first->reply.data() + kv_offset(key, true) + m * H;
      const double p = std::exp(score[a] - lse);
      const double ds = p * (Dot(d_out, v, H) - delta);
      for (int64_t h = 0; h < H; ++h) {
        served->reply[(row * N + n) * H + h] += scale * ds * k[h];
        d_k[h] += scale * ds * q[h];
        d_v[h] += p * d_out[h];
      }
    }
  }
}

}  // namespace rally::testing
