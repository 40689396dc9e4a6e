// Gradients of a whole small model: autograd in double against finite differences, and the float32
// path through Dispatch and Collect against the one in double.
#include <cmath>
#include <deque>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "scheduler/phase_routes.h"
#include "tests/model/plan_fixture.h"
#include "tests/model/reference_service.h"
#include "workers/model/remote_attention.h"
#include "workers/model/transformer.h"
#include "workers/transport/in_process_transport.h"

namespace rally::testing {
namespace {

JobSpec SmallJob() {
  JobSpec spec = TinyJob();
  spec.model.hidden_size = 16;
  spec.model.feed_forward_size = 24;
  spec.model.vocabulary = 12;
  spec.batch.chunk_tokens = 20;
  spec.batch.chunks = 1;
  spec.batch.max_document_tokens = 20;
  return spec;
}

// Core attention of one worker that holds every document whole, by LibTorch in double.
class DoubleAttention final : public CoreAttention {
 public:
  DoubleAttention(const JobSpec& spec, const Plan& plan) : shape_(spec.model), plan_(plan) {}

  at::Tensor Dispatch(const Phase& phase, const QueryKeyValue& rows,
                      const QueryKeyValue* ping) override {
    std::vector<at::Tensor> k = {rows.k_TMH};
    std::vector<at::Tensor> v = {rows.v_TMH};
    if (ping != nullptr) {
      k.insert(k.begin(), ping->k_TMH);
      v.insert(v.begin(), ping->v_TMH);
    }
    const int64_t group = shape_.heads / shape_.kv_heads;
    const at::Tensor k_NSH = at::cat(k).repeat_interleave(group, 1).transpose(0, 1);
    const at::Tensor v_NSH = at::cat(v).repeat_interleave(group, 1).transpose(0, 1);
    const at::Tensor scores_NTS = at::matmul(rows.q_TNH.transpose(0, 1), k_NSH.transpose(1, 2)) /
                                  std::sqrt(static_cast<double>(shape_.head_dim));
    const at::Tensor allowed = AllowedPairs(phase, ping != nullptr);
    const at::Tensor p_NTS =
        at::softmax(scores_NTS.masked_fill(allowed.logical_not(), -INFINITY), -1);
    outputs_.push_back(at::matmul(p_NTS, v_NSH).transpose(0, 1).contiguous());
    return outputs_.back();
  }

  at::Tensor Collect(const at::Tensor& /*ticket*/) override {
    at::Tensor out = outputs_.front();
    outputs_.pop_front();
    return out;
  }

 private:
  // Document and position of each row of a nano-batch.
  std::vector<std::pair<int32_t, int64_t>> RowsOf(int nano) const {
    std::vector<std::pair<int32_t, int64_t>> rows;
    for (const DocumentShard& shard : plan_.micro_batches[0].chunks[0].nano_batches[nano]) {
      for (int64_t i = shard.begin; i < shard.end; ++i) rows.emplace_back(shard.document, i);
    }
    return rows;
  }

  at::Tensor AllowedPairs(const Phase& phase, bool with_ping) const {
    const auto queries = RowsOf(phase.nano_batch);
    auto keys = with_ping ? RowsOf(0) : std::vector<std::pair<int32_t, int64_t>>();
    for (const auto& key : RowsOf(phase.nano_batch)) keys.push_back(key);
    at::Tensor allowed = at::zeros(
        {static_cast<int64_t>(queries.size()), static_cast<int64_t>(keys.size())}, at::kBool);
    for (size_t t = 0; t < queries.size(); ++t) {
      for (size_t s = 0; s < keys.size(); ++s) {
        const int64_t distance = queries[t].second - keys[s].second;
        const int64_t window = shape_.mask.window;
        allowed[t][s] = queries[t].first == keys[s].first && distance >= 0 &&
                        (window == 0 || distance < window);
      }
    }
    return allowed;
  }

  const ModelShape shape_;
  const Plan& plan_;
  std::deque<at::Tensor> outputs_;
};

MicroBatchRows RowsOf(const JobSpec& spec, const Plan& plan, const Corpus& corpus) {
  MicroBatchRows rows;
  for (int nano = 0; nano < kNanoBatches; ++nano) {
    rows.in_use[nano] = NanoBatchInUse(plan.micro_batches[0], nano);
    rows.rows[nano] = *ReadTokenRows(plan, plan.micro_batches[0].chunks[0].nano_batches[nano],
                                     spec.model.vocabulary, corpus.Reader());
  }
  return rows;
}

// Weights large enough that no gradient drowns: twenty times the usual initialisation.
at::Tensor TestValues(const JobSpec& spec) {
  const WeightLayout layout = LayOutWeights(spec.model);
  at::Tensor values = at::empty({layout.elements});
  InitializeWeights(layout, 3, {values.data_ptr<float>(), static_cast<size_t>(layout.elements)});
  for (const WeightInfo& weight : layout.weights) {
    if (weight.is_matrix()) values.narrow(0, weight.offset, weight.elements).mul_(20);
  }
  return values;
}

class GradientTest : public ::testing::TestWithParam<bool> {  // Tied embeddings.
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    spec_ = SmallJob();
    spec_.model.tie_embeddings = GetParam();
    if (GetParam()) spec_.model.mask.window = 6;
    // One document longer than a nano-batch, so pong attends to ping.
    corpus_ = Corpus{{13, 2, 1, 9}, spec_.model.vocabulary};
    plan_ = MakePlan(spec_, corpus_, 1, {});
    rows_ = RowsOf(spec_, *plan_, corpus_);
  }

  double DoubleLoss(const at::Tensor& values) {
    at::NoGradGuard no_gradients;
    Weights weights(spec_.model, values, at::kDouble);
    DoubleAttention attention(spec_, *plan_);
    return Transformer(spec_.model, &weights).Loss(rows_, &attention).item<double>();
  }

  at::Tensor DoubleGradients() {
    Weights weights(spec_.model, TestValues(spec_).to(at::kDouble), at::kDouble);
    DoubleAttention attention(spec_, *plan_);
    const at::Tensor loss = Transformer(spec_.model, &weights).Loss(rows_, &attention);
    torch::autograd::backward({loss}, {at::ones_like(loss)});
    return weights.gradients().clone();
  }

  JobSpec spec_;
  Corpus corpus_;
  std::shared_ptr<Plan> plan_;
  MicroBatchRows rows_;
};

TEST_P(GradientTest, MatchFiniteDifferences) {
  const at::Tensor gradients = DoubleGradients();
  const at::Tensor values = TestValues(spec_).to(at::kDouble);
  const WeightLayout layout = LayOutWeights(spec_.model);
  // Central differences: truncation error ~ h^2, rounding ~ 1e-16 * loss / h; both below 1e-9.
  const double h = 1e-5;
  for (const WeightInfo& weight : layout.weights) {
    const int64_t stride = std::max<int64_t>(1, weight.elements / 7);
    for (int64_t i = weight.offset; i < weight.offset + weight.elements; i += stride) {
      double* value = values.data_ptr<double>() + i;
      const double kept = *value;
      *value = kept + h;
      const double above = DoubleLoss(values);
      *value = kept - h;
      const double below = DoubleLoss(values);
      *value = kept;
      const double expected = (above - below) / (2 * h);
      const double found = gradients.data_ptr<double>()[i];
      EXPECT_NEAR(found, expected, 1e-6 * std::max(1.0, std::abs(expected)))
          << weight.name << " element " << i - weight.offset;
    }
  }
}

TEST_P(GradientTest, OfRemoteAttentionMatchDouble) {
  const at::Tensor expected = DoubleGradients();
  const auto transports = MakeInProcessTransports(1);
  BufferPool pool;
  ReferenceService reference(spec_.model, AttentionElement::kFloat32, 1, transports[0].get());
  RemoteAttention attention({spec_.model, AttentionElement::kFloat32, 0, 1, absl::Seconds(20)},
                            transports[0].get(), &pool, reference.service());
  Weights weights(spec_.model, TestValues(spec_), at::kFloat);
  attention.BeginRound(plan_, {});
  const at::Tensor loss = Transformer(spec_.model, &weights).Loss(rows_, &attention);
  torch::autograd::backward({loss}, {at::ones_like(loss)});
  EXPECT_TRUE(attention.EndRound().ok());
  EXPECT_NEAR(loss.item<double>(), DoubleLoss(TestValues(spec_).to(at::kDouble)), 1e-4);
  for (const WeightInfo& weight : weights.layout().weights) {
    const at::Tensor a = expected.narrow(0, weight.offset, weight.elements);
    const at::Tensor b = weights.gradients().narrow(0, weight.offset, weight.elements);
    // float32 rounding, 6e-8, grown through two layers and some dozen additions.
    const double difference = (a - b.to(at::kDouble)).norm().item<double>();
    EXPECT_LT(difference, 2e-5 * a.norm().item<double>()) << weight.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, GradientTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "TiedWithWindow" : "Untied"; });

}  // namespace
}  // namespace rally::testing
