#include "workers/model/transformer.h"

#include <ATen/ATen.h>

#include "workers/model/head_loss.h"
#include "workers/model/layers.h"

namespace rally {
namespace {

at::Tensor ToTensor(const std::vector<int64_t>& values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::TensorOptions().dtype(at::kLong));
}

}  // namespace

// A nano-batch on its way through the layers.
struct Transformer::Stream {
  at::Tensor x_TD;  // Residual stream.
  RopeTable rope;
  at::Tensor target_T;
  QueryKeyValue qkv;  // Of the layer being attended.
  at::Tensor ticket;
};

Transformer::Transformer(const ModelShape& shape, const Weights* weights)
    : shape_(shape), weights_(weights) {}

at::Tensor Transformer::Loss(const MicroBatchRows& micro_batch, CoreAttention* attention) const {
  std::array<Stream, kNanoBatches> streams;
  std::vector<int32_t> used;
  for (int32_t nano = 0; nano < kNanoBatches; ++nano) {
    if (!micro_batch.in_use[nano]) continue;
    used.push_back(nano);
    streams[nano] = Begin(micro_batch.rows[nano]);
  }
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    for (const int32_t nano : used) {
      Stream& s = streams[nano];
      if (layer > 0) s.x_TD = AfterAttention(layer - 1, s.x_TD, attention->Collect(s.ticket));
      s.qkv = BeforeAttention(layer, s);
      const Phase phase{micro_batch.index, static_cast<int32_t>(layer), nano, Direction::kForward};
      const bool after_ping = nano == 1 && micro_batch.in_use[0];
      s.ticket = attention->Dispatch(phase, s.qkv, after_ping ? &streams[0].qkv : nullptr);
    }
  }
  at::Tensor loss = at::zeros({}, at::TensorOptions().dtype(at::kDouble));
  for (const int32_t nano : used) {
    Stream& s = streams[nano];
    s.x_TD = AfterAttention(shape_.layers - 1, s.x_TD, attention->Collect(s.ticket));
    loss = loss + LossOf(s);
  }
  return loss;
}

Transformer::Stream Transformer::Begin(const TokenRows& rows) const {
  Stream stream;
  const at::ScalarType type = weights_->values().scalar_type();
  stream.x_TD = Embed(ToTensor(rows.token), weights_->embedding_VD);
  stream.rope = MakeRopeTable(ToTensor(rows.position), shape_.head_dim, shape_.rope_theta, type);
  stream.target_T = ToTensor(rows.target);
  return stream;
}

QueryKeyValue Transformer::BeforeAttention(int64_t layer, const Stream& stream) const {
  const LayerWeights& w = weights_->layers[layer];
  const at::ScalarType type = weights_->values().scalar_type();
  const int64_t T = stream.x_TD.size(0);
  const at::Tensor h_TD =
      RmsNorm(stream.x_TD, w.input_norm_D, shape_.rms_norm_epsilon, weights_->compute_type());
  const auto heads = [&](const Weight& projection, int64_t count) {
    return Linear(h_TD, projection, type).view({T, count, shape_.head_dim});
  };
  return {Rope(heads(w.q_proj, shape_.heads), stream.rope),
          Rope(heads(w.k_proj, shape_.kv_heads), stream.rope), heads(w.v_proj, shape_.kv_heads)};
}

at::Tensor Transformer::AfterAttention(int64_t layer, const at::Tensor& x_TD,
                                       const at::Tensor& out_TNH) const {
  const LayerWeights& w = weights_->layers[layer];
  const at::ScalarType type = weights_->values().scalar_type();
  const at::ScalarType compute = weights_->compute_type();
  const at::Tensor a_TD = x_TD + Linear(out_TNH.flatten(1).to(compute), w.o_proj, type);
  const at::Tensor h_TD = RmsNorm(a_TD, w.mlp_norm_D, shape_.rms_norm_epsilon, compute);
  const at::Tensor f_TF =
      SwiGlu(Linear(h_TD, w.gate_proj_FD, compute), Linear(h_TD, w.up_proj_FD, compute));
  return a_TD + Linear(f_TF, w.down_proj_DF, type);
}

at::Tensor Transformer::LossOf(const Stream& stream) const {
  const at::Tensor h_TD =
      RmsNorm(stream.x_TD, weights_->norm_D, shape_.rms_norm_epsilon, weights_->compute_type());
  return HeadLoss(h_TD, weights_->head_VD, stream.target_T);
}

}  // namespace rally
