// HeadLoss: the output head and the cross entropy, in one differentiable step.
//
// Logits are [T, V], by far the largest tensor of a model with a large vocabulary, so they are
// computed in blocks of rows, and their gradient with them: no more than one block exists at a
// time. Internal to workers/model: this header needs LibTorch.
#ifndef RALLY_WORKERS_MODEL_HEAD_LOSS_H_
#define RALLY_WORKERS_MODEL_HEAD_LOSS_H_

#include <ATen/core/Tensor.h>

#include "workers/model/weights.h"

namespace rally {

// Sum over rows of -log softmax(x w^T)[target], a double scalar; rows whose target is -1 do not
// count. `x_TD` has the weight's compute type, `target_T` is int64.
at::Tensor HeadLoss(const at::Tensor& x_TD, const Weight& head_VD, const at::Tensor& target_T);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_HEAD_LOSS_H_
