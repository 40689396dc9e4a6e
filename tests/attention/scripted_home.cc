#include "tests/attention/scripted_home.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "common/status_macros.h"
#include "tests/attention/bfloat16.h"
#include "tests/attention/reference_attention.h"

namespace rally {
namespace {

AttentionShape KernelShape(const ModelShape& shape) {
  AttentionShape kernel;
  kernel.heads = static_cast<int32_t>(shape.heads);
  kernel.kv_heads = static_cast<int32_t>(shape.kv_heads);
  kernel.head_dim = static_cast<int32_t>(shape.head_dim);
  kernel.mask = shape.mask;
  return kernel;
}

VarlenTask WholeDocument(const DocumentData& data, int64_t tokens) {
  VarlenTask task;
  task.q_rows = task.kv_rows = tokens;
  task.q = data.q.data();
  task.k = data.k.data();
  task.v = data.v.data();
  // The reference only reads.
  task.lse = const_cast<float*>(data.lse.data());
  task.d_out = data.d_out.data();
  task.delta = data.delta.data();
  return task;
}

std::vector<float> RandomRows(int64_t size, std::mt19937_64* random) {
  std::normal_distribution<float> distribution;
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = distribution(*random);
  return values;
}

DocumentData RandomDocument(const ModelShape& shape, AttentionElement element, int64_t tokens,
                            std::mt19937_64* random) {
  const int64_t queries = tokens * shape.heads * shape.head_dim;
  const int64_t keys = tokens * shape.kv_heads * shape.head_dim;
  const int64_t rows = tokens * shape.heads;
  DocumentData data;
  data.q = RandomRows(queries, random);
  data.k = RandomRows(keys, random);
  data.v = RandomRows(keys, random);
  data.d_out = RandomRows(queries, random);
  if (element == AttentionElement::kBfloat16) {
    for (auto* rows : {&data.q, &data.k, &data.v, &data.d_out}) {
      for (float& x : *rows) x = FromBfloat16(ToBfloat16(x));
    }
  }
  const ReferenceOutput output = ReferenceForward(KernelShape(shape), WholeDocument(data, tokens));
  for (int64_t i = 0; i < rows; ++i) {
    double delta = 0.0;
    for (int64_t h = i * shape.head_dim; h < (i + 1) * shape.head_dim; ++h) {
      delta += output.out.value[h] * data.d_out[h];
    }
    data.delta.push_back(static_cast<float>(delta));
    data.lse.push_back(static_cast<float>(output.lse.value[i]));
  }
  data.weighted_out.resize(queries);
  data.weight.resize(rows);
  data.largest.assign(rows, -std::numeric_limits<double>::infinity());
  data.d_q.resize(queries);
  data.d_k.resize(keys);
  data.d_v.resize(keys);
  return data;
}

// The parts of a row are each within the bound of the whole's arithmetic, and so is their mean;
// the reference's own inputs, lse and delta, are rounded once.
void ExpectNear(const std::vector<double>& actual, const ReferenceTensor& expected,
                const char* what) {
  ASSERT_EQ(actual.size(), expected.value.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const double tolerance = 2 * expected.bound[i] + 1e-6 * (1 + std::abs(expected.value[i]));
    ASSERT_NEAR(actual[i], expected.value[i], tolerance) << what << " " << i;
  }
}

void AppendValue(float x, AttentionElement element, std::vector<std::byte>* to) {
  const uint16_t rounded = ToBfloat16(x);
  const auto* const bytes = element == AttentionElement::kBfloat16
                                ? reinterpret_cast<const std::byte*>(&rounded)
                                : reinterpret_cast<const std::byte*>(&x);
  to->insert(to->end(), bytes, bytes + ElementBytes(element));
}

void Append(const std::vector<float>& from, const HomeRows& rows, int64_t width,
            AttentionElement element, std::vector<std::byte>* to) {
  for (int64_t i = rows.begin * width; i < rows.end * width; ++i) AppendValue(from[i], element, to);
}

void Add(const float** from, const HomeRows& rows, int64_t width, std::vector<double>* to) {
  for (int64_t i = rows.begin * width; i < rows.end * width; ++i) (*to)[i] += *(*from)++;
}

absl::Span<std::byte> AsWritableBytes(std::vector<float>* values) {
  return {reinterpret_cast<std::byte*>(values->data()), values->size() * sizeof(float)};
}

}  // namespace

StepData::StepData(const Plan& plan, const ModelShape& shape, AttentionElement element,
                   std::mt19937_64* random)
    : shape_(shape), element_(element), train_(plan.kind == PlanKind::kTrain) {
  data_.resize(static_cast<size_t>(shape.layers));
  for (const Document& document : plan.documents) {
    tokens_.push_back(document.tokens);
    for (auto& layer : data_) {
      layer.push_back(RandomDocument(shape, element, document.tokens, random));
    }
  }
}

void StepData::ExpectMatchesReference(double rounding) const {
  for (const auto& layer : data_) {
    for (size_t d = 0; d < layer.size(); ++d) {
      ExpectForward(layer[d], tokens_[d], rounding);
      if (train_) ExpectBackward(layer[d], tokens_[d], rounding);
    }
  }
}

void StepData::ExpectForward(const DocumentData& data, int64_t tokens, double rounding) const {
  std::vector<double> out(data.weighted_out.size());
  std::vector<double> lse(data.weight.size());
  for (size_t i = 0; i < lse.size(); ++i) {
    lse[i] = data.largest[i] + std::log(data.weight[i]);
    for (size_t h = i * shape_.head_dim; h < (i + 1) * shape_.head_dim; ++h) {
      out[h] = data.weighted_out[h] / data.weight[i];
    }
  }
  const auto expected =
      ReferenceForward(KernelShape(shape_), WholeDocument(data, tokens), rounding);
  ExpectNear(out, expected.out, "out");
  ExpectNear(lse, expected.lse, "lse");
}

void StepData::ExpectBackward(const DocumentData& data, int64_t tokens, double rounding) const {
  const auto expected =
      ReferenceBackward(KernelShape(shape_), WholeDocument(data, tokens), rounding);
  ExpectNear(data.d_q, expected.d_q, "d_q");
  ExpectNear(data.d_k, expected.d_k, "d_k");
  ExpectNear(data.d_v, expected.d_v, "d_v");
}

ScriptedHome::ScriptedHome(const Plan* plan, const ModelShape& shape, uint32_t epoch,
                           Transport* transport, StepData* data)
    : plan_(plan), shape_(shape), epoch_(epoch), transport_(transport), data_(data) {}

absl::Status ScriptedHome::Run(AttentionServer* server) {
  const std::vector<Phase> order = PhaseOrder(*plan_, shape_.layers);
  std::vector<Exchange> exchanges(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0) Post(order[0], &exchanges[0]);
    if (i + 1 < order.size()) {
      RALLY_RETURN_IF_ERROR(server->PostPhase(order[i + 1]));
      Post(order[i + 1], &exchanges[i + 1]);
    }
    RALLY_RETURN_IF_ERROR(server->ServePhase(order[i]));
    const Exchange& done = exchanges[i];
    RALLY_RETURN_IF_ERROR(transport_->Wait(done.transfers, absl::Now() + absl::Seconds(60)));
    const auto routes = done.routes.FromHome(transport_->rank());
    for (size_t r = 0; r < routes.size(); ++r) {
      if (order[i].direction == Direction::kForward) {
        TakeForward(*routes[r], order[i], done.replies[r]);
      } else {
        TakeBackward(*routes[r], order[i], done.replies[r]);
      }
    }
  }
  return absl::OkStatus();
}

void ScriptedHome::Post(const Phase& phase, Exchange* exchange) {
  exchange->routes = RoutePhase(*plan_, phase.micro_batch, phase.nano_batch);
  const int32_t rank = transport_->rank();
  for (const Route* route : exchange->routes.FromHome(rank)) {
    exchange->requests.push_back(PackRequest(*route, phase));
    exchange->replies.emplace_back(ReplyFloats(*route, phase));
    exchange->transfers.push_back(transport_->Send(
        route->server, MakeTag(phase, MessageKind::kRequest, rank), exchange->requests.back()));
    if (exchange->replies.back().empty()) continue;
    exchange->transfers.push_back(
        transport_->Receive(route->server, MakeTag(phase, MessageKind::kReply, route->server),
                            AsWritableBytes(&exchange->replies.back())));
  }
}

std::vector<std::byte> ScriptedHome::PackRequest(const Route& route, const Phase& phase) {
  const int64_t q_width = shape_.heads * shape_.head_dim;
  const int64_t kv_width = shape_.kv_heads * shape_.head_dim;
  std::vector<std::byte> message;
  const auto append = [&](const std::vector<HomeRows>& parts,
                          std::vector<float> DocumentData::*tensor, int64_t width,
                          AttentionElement element) {
    for (const HomeRows& rows : parts) {
      const DocumentData& document = *data_->document(phase.layer, rows.document);
      Append(document.*tensor, rows, width, element, &message);
    }
  };
  append(route.queries, &DocumentData::q, q_width, data_->element());
  append(route.keys, &DocumentData::k, kv_width, data_->element());
  append(route.keys, &DocumentData::v, kv_width, data_->element());
  if (phase.direction == Direction::kForward) return message;
  append(route.queries, &DocumentData::d_out, q_width, data_->element());
  append(route.queries, &DocumentData::lse, shape_.heads, AttentionElement::kFloat32);
  append(route.queries, &DocumentData::delta, shape_.heads, AttentionElement::kFloat32);
  return message;
}

int64_t ScriptedHome::ReplyFloats(const Route& route, const Phase& phase) const {
  if (phase.direction == Direction::kForward) {
    return route.query_rows * shape_.heads * (shape_.head_dim + 1);
  }
  return (route.query_rows * shape_.heads + 2 * route.kv_rows * shape_.kv_heads) * shape_.head_dim;
}

void ScriptedHome::TakeForward(const Route& route, const Phase& phase,
                               const std::vector<float>& reply) {
  const float* out = reply.data();
  const float* lse = out + route.query_rows * shape_.heads * shape_.head_dim;
  for (const HomeRows& rows : route.queries) {
    DocumentData& data = *data_->document(phase.layer, rows.document);
    for (int64_t i = rows.begin * shape_.heads; i < rows.end * shape_.heads; ++i) {
      const double part = *lse++;
      const double largest = std::max(data.largest[i], part);
      const bool allowed = std::isfinite(part);
      const double keep = std::isfinite(data.largest[i]) ? std::exp(data.largest[i] - largest) : 0;
      const double weight = allowed ? std::exp(part - largest) : 0.0;
      data.largest[i] = largest;
      data.weight[i] = data.weight[i] * keep + weight;
      for (int64_t h = i * shape_.head_dim; h < (i + 1) * shape_.head_dim; ++h) {
        data.weighted_out[h] = data.weighted_out[h] * keep + weight * *out++;
      }
    }
  }
}

void ScriptedHome::TakeBackward(const Route& route, const Phase& phase,
                                const std::vector<float>& reply) {
  const float* from = reply.data();
  const auto document = [&](const HomeRows& rows) {
    return data_->document(phase.layer, rows.document);
  };
  const int64_t q_width = shape_.heads * shape_.head_dim;
  const int64_t kv_width = shape_.kv_heads * shape_.head_dim;
  for (const HomeRows& rows : route.queries) Add(&from, rows, q_width, &document(rows)->d_q);
  for (const HomeRows& rows : route.keys) Add(&from, rows, kv_width, &document(rows)->d_k);
  for (const HomeRows& rows : route.keys) Add(&from, rows, kv_width, &document(rows)->d_v);
}

Tag ScriptedHome::MakeTag(const Phase& phase, MessageKind kind, int32_t source) const {
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
