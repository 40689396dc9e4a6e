#include "tests/bench/libtorch_loop.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "tests/bench/libtorch_threads.h"
#include "workers/model/weight_layout.h"

namespace rally::bench {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class LibtorchLoopImpl final : public LibtorchLoop {
 public:
  LibtorchLoopImpl(const JobSpec& spec, int threads)
      : shape_(spec.model), gradient_clip_(spec.optimizer.gradient_clip), threads_(threads) {
    layout_ = LayOutWeights(shape_);
    std::vector<float> values(static_cast<size_t>(layout_.elements));
    InitializeWeights(layout_, spec.training.seed, absl::MakeSpan(values));
    std::vector<at::Tensor> matrices;
    std::vector<at::Tensor> norms;
    for (const WeightInfo& weight : layout_.weights) {
      at::Tensor tensor = at::empty(weight.shape);
      std::copy_n(values.data() + weight.offset, weight.elements, tensor.data_ptr<float>());
      tensor.requires_grad_(true);
      (weight.is_matrix() ? matrices : norms).push_back(tensor);
      weights_.push_back(std::move(tensor));
    }
    const OptimizerSpec& adamw = spec.optimizer;
    torch::optim::AdamWOptions options(adamw.learning_rate);
    options.betas({adamw.beta1, adamw.beta2}).eps(adamw.epsilon);
    auto decayed = std::make_unique<torch::optim::AdamWOptions>(options);
    decayed->weight_decay(adamw.weight_decay);
    auto plain = std::make_unique<torch::optim::AdamWOptions>(options);
    plain->weight_decay(0.0);
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(std::move(matrices), std::move(decayed));
    groups.emplace_back(std::move(norms), std::move(plain));
    optimizer_ = std::make_unique<torch::optim::AdamW>(std::move(groups), options);
  }

  absl::StatusOr<Step> Run(const std::vector<std::vector<int32_t>>& documents) override {
    try {
      SetLibtorchThreads(threads_);
      return RunStep(documents);
    } catch (const std::exception& error) {
      return absl::InternalError(error.what());
    }
  }

 private:
  // Where the documents lie in a batch laid end to end.
  struct Batch {
    std::vector<int64_t> lengths;
    at::Tensor tokens_T;
    at::Tensor targets_T;  // -1 after a document's last token.
    at::Tensor cosine_TP;
    at::Tensor sine_TP;
    std::vector<at::Tensor> forbidden;  // By document, [length, length].
  };

  Step RunStep(const std::vector<std::vector<int32_t>>& documents) {
    const Clock::time_point start = Clock::now();
    attention_seconds_ = 0.0;
    const Batch batch = LayOut(documents);
    optimizer_->zero_grad();
    const at::Tensor loss = Loss(batch);
    loss.backward();
    if (gradient_clip_ > 0.0) torch::nn::utils::clip_grad_norm_(weights_, gradient_clip_);
    optimizer_->step();
    Step step;
    step.loss = loss.item<double>();
    step.seconds = SecondsSince(start);
    step.attention_seconds = attention_seconds_;
    return step;
  }

  Batch LayOut(const std::vector<std::vector<int32_t>>& documents) const {
    Batch batch;
    std::vector<int64_t> tokens;
    std::vector<int64_t> targets;
    std::vector<at::Tensor> positions;
    for (const std::vector<int32_t>& document : documents) {
      const auto length = static_cast<int64_t>(document.size());
      batch.lengths.push_back(length);
      tokens.insert(tokens.end(), document.begin(), document.end());
      targets.insert(targets.end(), document.begin() + 1, document.end());
      targets.push_back(-1);
      positions.push_back(at::arange(length, at::kDouble));
      batch.forbidden.push_back(at::ones({length, length}, at::kBool).triu(1));
    }
    batch.tokens_T = at::tensor(tokens);
    batch.targets_T = at::tensor(targets);
    const int64_t pairs = shape_.head_dim / 2;
    const at::Tensor exponent = at::arange(pairs, at::kDouble) / static_cast<double>(pairs);
    const at::Tensor frequency = at::pow(at::Scalar(shape_.rope_theta), -exponent);
    const at::Tensor angle = at::outer(at::cat(positions), frequency);
    batch.cosine_TP = angle.cos().to(at::kFloat).unsqueeze(1);
    batch.sine_TP = angle.sin().to(at::kFloat).unsqueeze(1);
    return batch;
  }

  const at::Tensor& Weight(const std::string& name) const {
    const WeightInfo& info = layout_.Find(name);
    return weights_[static_cast<size_t>(&info - layout_.weights.data())];
  }
  const at::Tensor& LayerWeight(int64_t layer, const std::string& what) const {
    return Weight(LayerWeightName(layer, what));
  }

  at::Tensor Norm(const at::Tensor& x, const at::Tensor& weight) const {
    return x * at::rsqrt(x.pow(2).mean(-1, true) + shape_.rms_norm_epsilon) * weight;
  }

  static at::Tensor Rotate(const at::Tensor& x, const Batch& batch) {
    const std::vector<at::Tensor> halves = x.chunk(2, -1);
    return at::cat({halves[0] * batch.cosine_TP - halves[1] * batch.sine_TP,
                    halves[1] * batch.cosine_TP + halves[0] * batch.sine_TP},
                   -1);
  }

  at::Tensor Attention(const at::Tensor& q_TNH, const at::Tensor& k_TMH, const at::Tensor& v_TMH,
                       const Batch& batch) {
    const Clock::time_point start = Clock::now();
    const int64_t group = shape_.heads / shape_.kv_heads;
    const at::Tensor q = q_TNH.transpose(0, 1);
    const at::Tensor k = k_TMH.repeat_interleave(group, 1).transpose(0, 1);
    const at::Tensor v = v_TMH.repeat_interleave(group, 1).transpose(0, 1);
    const double scale = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim));
    std::vector<at::Tensor> outs;
    int64_t begin = 0;
    for (size_t i = 0; i < batch.lengths.size(); ++i) {
      const int64_t length = batch.lengths[i];
      const auto rows = [&](const at::Tensor& x) { return x.narrow(1, begin, length); };
      const at::Tensor scores = at::bmm(rows(q), rows(k).transpose(1, 2)).mul(scale);
      const at::Tensor allowed =
          scores.masked_fill(batch.forbidden[i], -std::numeric_limits<double>::infinity());
      outs.push_back(at::bmm(at::softmax(allowed, -1), rows(v)));
      begin += length;
    }
    const at::Tensor out = at::cat(outs, 1).transpose(0, 1).flatten(1);
    attention_seconds_ += SecondsSince(start);
    return out;
  }

  at::Tensor Loss(const Batch& batch) {
    at::Tensor x = at::embedding(Weight("model.embed_tokens.weight"), batch.tokens_T);
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      const auto weight = [&](const std::string& what) { return LayerWeight(layer, what); };
      const at::Tensor h = Norm(x, weight("input_layernorm"));
      const auto heads = [&](const std::string& what, int64_t count) {
        return at::linear(h, weight(what)).view({-1, count, shape_.head_dim});
      };
      const at::Tensor q = Rotate(heads("self_attn.q_proj", shape_.heads), batch);
      const at::Tensor k = Rotate(heads("self_attn.k_proj", shape_.kv_heads), batch);
      const at::Tensor v = heads("self_attn.v_proj", shape_.kv_heads);
      x = x + at::linear(Attention(q, k, v, batch), weight("self_attn.o_proj"));
      const at::Tensor m = Norm(x, weight("post_attention_layernorm"));
      const at::Tensor f =
          at::silu(at::linear(m, weight("mlp.gate_proj"))) * at::linear(m, weight("mlp.up_proj"));
      x = x + at::linear(f, weight("mlp.down_proj"));
    }
    const at::Tensor head =
        Weight(shape_.tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    const at::Tensor logits = at::linear(Norm(x, Weight("model.norm.weight")), head);
    return at::cross_entropy_loss(logits, batch.targets_T, {}, at::Reduction::Mean, -1);
  }

  const ModelShape shape_;
  const double gradient_clip_;
  const int threads_;
  WeightLayout layout_;
  std::vector<at::Tensor> weights_;  // In the layout's order.
  std::unique_ptr<torch::optim::AdamW> optimizer_;
  double attention_seconds_ = 0.0;  // Of the step so far.
};

}  // namespace

absl::StatusOr<std::unique_ptr<LibtorchLoop>> MakeLibtorchLoop(const JobSpec& spec, int threads) {
  try {
    return std::make_unique<LibtorchLoopImpl>(spec, threads);
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace rally::bench
