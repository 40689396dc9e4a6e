#include "scheduler/device_shape.h"

#include <algorithm>

namespace rally {
namespace {

constexpr double kFloatBytes = 4.0;

ModelShape Slice(ModelShape model, int32_t tensor_parallel) {
  model.heads /= tensor_parallel;
  model.kv_heads = std::max<int64_t>(1, model.kv_heads / tensor_parallel);
  model.feed_forward_size /= tensor_parallel;
  model.vocabulary /= tensor_parallel;
  return model;
}

}  // namespace

DeviceShape::DeviceShape(const ModelShape& model, int32_t tensor_parallel, const CostModel* costs)
    : tensor_parallel_(tensor_parallel), costs_(costs), slice_(Slice(model, tensor_parallel)) {
  const int64_t projections =
      slice_.hidden_size * (QueryRowElements(slice_) + KeyValueRowElements(slice_));
  before_share_ =
      static_cast<double>(projections) / static_cast<double>(LayerParameterCount(slice_));
}

double DeviceShape::BeforeAttentionSeconds(Direction direction, int64_t tokens) const {
  return before_share_ * costs_->LinearSeconds(slice_, direction, tokens);
}

double DeviceShape::AfterAttentionSeconds(Direction direction, int64_t tokens) const {
  return (1.0 - before_share_) * costs_->LinearSeconds(slice_, direction, tokens);
}

double DeviceShape::HeadSeconds(Direction direction, int64_t tokens) const {
  return slice_.vocabulary == 0 ? 0.0 : costs_->HeadSeconds(slice_, direction, tokens);
}

double DeviceShape::CollectiveSeconds(int count, int64_t tokens) const {
  if (tensor_parallel_ == 1) return 0.0;
  // A ring sends every other member's part, or its sums, once.
  const double bytes = static_cast<double>(tensor_parallel_ - 1) * StageBytes(tokens);
  return count * costs_->TransferSeconds(LinkClass::kSameNode, bytes);
}

double DeviceShape::TaskSeconds(Direction direction, const CaTask& task) const {
  return costs_->TaskSeconds(slice_, direction, task);
}

double DeviceShape::RequestBytes(Direction direction, const Route& route) const {
  const auto element = static_cast<double>(costs_->element_bytes());
  const auto queries = static_cast<double>(route.query_rows);
  double bytes = KeyValueBytes(route.kv_rows) +
                 element * queries * static_cast<double>(QueryRowElements(slice_));
  if (direction == Direction::kBackward) {
    bytes += element * queries * static_cast<double>(QueryRowElements(slice_)) +
             2.0 * kFloatBytes * queries * static_cast<double>(slice_.heads);
  }
  return bytes;
}

double DeviceShape::ReplyBytes(Direction direction, const Route& route) const {
  const auto element = static_cast<double>(costs_->element_bytes());
  const auto queries = static_cast<double>(route.query_rows);
  const double rows = element * queries * static_cast<double>(QueryRowElements(slice_));
  return direction == Direction::kForward
             ? rows + kFloatBytes * queries * static_cast<double>(slice_.heads)
             : rows + KeyValueBytes(route.kv_rows);
}

double DeviceShape::StageBytes(int64_t tokens) const {
  return static_cast<double>(tokens * slice_.hidden_size * costs_->element_bytes()) /
         tensor_parallel_;
}

double DeviceShape::KeyValueBytes(int64_t rows) const {
  return static_cast<double>(rows * KeyValueRowElements(slice_) * costs_->element_bytes());
}

double DeviceShape::ActivationBytes(int64_t tokens) const {
  const double split = 2.0 * static_cast<double>(QueryRowElements(slice_)) +
                       static_cast<double>(KeyValueRowElements(slice_)) +
                       3.0 * static_cast<double>(slice_.feed_forward_size);
  return 4.0 * StageBytes(tokens) + static_cast<double>(tokens * costs_->element_bytes()) * split;
}

int64_t DeviceShape::OuterParameters() const {
  return ParameterCount(slice_) - LayerParameters(slice_.layers);
}

}  // namespace rally
