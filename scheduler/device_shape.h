// DeviceShape: what one accelerator of a tensor-parallel group computes and sends, in seconds and
// bytes of a cost model.
//
// Heads, key/value heads, feed-forward and vocabulary are split over the group. Immutable; the cost
// model is borrowed.
#ifndef RALLY_SCHEDULER_DEVICE_SHAPE_H_
#define RALLY_SCHEDULER_DEVICE_SHAPE_H_

#include <cstdint>

#include "scheduler/cost_model.h"
#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/phase_routes.h"

namespace rally {

class DeviceShape {
 public:
  DeviceShape(const ModelShape& model, int32_t tensor_parallel, const CostModel* costs);

  const ModelShape& slice() const { return slice_; }

  // One layer in two parts: up to the projections of query, key and value, and after attention.
  double BeforeAttentionSeconds(Direction direction, int64_t tokens) const;
  double AfterAttentionSeconds(Direction direction, int64_t tokens) const;
  double HeadSeconds(Direction direction, int64_t tokens) const;
  // `count` collectives over the activations of this many tokens.
  double CollectiveSeconds(int count, int64_t tokens) const;
  double TaskSeconds(Direction direction, const CaTask& task) const;

  // Messages of a route (message_layout.h), in bytes. LSE and delta are float32.
  double RequestBytes(Direction direction, const Route& route) const;
  double ReplyBytes(Direction direction, const Route& route) const;
  // Activations of tokens between two stages.
  double StageBytes(int64_t tokens) const;
  // Key and value rows.
  double KeyValueBytes(int64_t rows) const;
  // What forward keeps for backward of a token in a layer: inputs of norms and matrices, queries,
  // keys, values and attention output, sequence-parallel between the matrices.
  double ActivationBytes(int64_t tokens) const;
  // Weights that a device holds of `layers` layers, and of embedding, last norm and head.
  int64_t LayerParameters(int64_t layers) const { return layers * LayerParameterCount(slice_); }
  int64_t OuterParameters() const;

 private:
  const int32_t tensor_parallel_;
  const CostModel* const costs_;
  ModelShape slice_;
  double before_share_ = 0.0;  // Of a layer's linear work.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_DEVICE_SHAPE_H_
