#include "workers/attention/attention_check.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <limits>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr int32_t kHeadDims[] = {32, 64, 96, 128, 192, 256};
// Keeps sums of positions and windows far from overflow.
constexpr int64_t kMaxPosition = int64_t{1} << 48;

absl::Status CheckShape(const AttentionShape& shape) {
  if (shape.heads < 1) {
    return absl::InvalidArgumentError(absl::StrCat("heads: ", shape.heads, ", must be at least 1"));
  }
  if (shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv_heads: ", shape.kv_heads, ", must divide heads (", shape.heads, ")"));
  }
  if (std::find(std::begin(kHeadDims), std::end(kHeadDims), shape.head_dim) ==
      std::end(kHeadDims)) {
    return absl::InvalidArgumentError(
        absl::StrCat("head_dim: ", shape.head_dim, ", must be 32, 64, 96, 128, 192 or 256"));
  }
  if (!std::isfinite(shape.scale) || shape.scale < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("scale: ", shape.scale, ", must be positive, or 0 for 1 / sqrt(head_dim)"));
  }
  if (shape.mask.window < 0) {
    return absl::InvalidArgumentError(absl::StrCat("mask.window: ", shape.mask.window,
                                                   ", must be positive, or 0 for plain causal"));
  }
  if (shape.element != AttentionElement::kFloat32 && shape.element != AttentionElement::kBfloat16) {
    return absl::InvalidArgumentError(absl::StrCat("element: ", static_cast<int>(shape.element),
                                                   ", must be 0 (float32) or 1 (bfloat16)"));
  }
  return absl::OkStatus();
}

absl::Status CheckRange(const char* field, size_t task, int64_t value, int64_t max) {
  if (value >= 0 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("task ", task, ": ", field, ": ", value, ", must be in [0, ", max, "]"));
}

struct NamedPointer {
  const char* name;
  const void* pointer;
};

absl::Status CheckPresent(size_t task, std::initializer_list<NamedPointer> pointers) {
  for (const NamedPointer& named : pointers) {
    if (named.pointer == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("task ", task, ": ", named.name, " is null"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTask(size_t index, const VarlenTask& task) {
  constexpr int64_t kMaxRows = std::numeric_limits<int32_t>::max();
  RALLY_RETURN_IF_ERROR(CheckRange("q_rows", index, task.q_rows, kMaxRows));
  RALLY_RETURN_IF_ERROR(CheckRange("kv_rows", index, task.kv_rows, kMaxRows));
  RALLY_RETURN_IF_ERROR(CheckRange("q_position", index, task.q_position, kMaxPosition));
  RALLY_RETURN_IF_ERROR(CheckRange("kv_position", index, task.kv_position, kMaxPosition));
  if (task.q_rows > 0) {
    RALLY_RETURN_IF_ERROR(CheckPresent(index, {{"q", task.q}, {"lse", task.lse}}));
  }
  if (task.kv_rows > 0) {
    RALLY_RETURN_IF_ERROR(CheckPresent(index, {{"k", task.k}, {"v", task.v}}));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckForward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) {
  RALLY_RETURN_IF_ERROR(CheckShape(shape));
  for (size_t i = 0; i < tasks.size(); ++i) {
    RALLY_RETURN_IF_ERROR(CheckTask(i, tasks[i]));
    if (tasks[i].q_rows > 0) RALLY_RETURN_IF_ERROR(CheckPresent(i, {{"out", tasks[i].out}}));
  }
  return absl::OkStatus();
}

absl::Status CheckBackward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) {
  RALLY_RETURN_IF_ERROR(CheckShape(shape));
  for (size_t i = 0; i < tasks.size(); ++i) {
    const VarlenTask& task = tasks[i];
    RALLY_RETURN_IF_ERROR(CheckTask(i, task));
    if (task.q_rows > 0) {
      RALLY_RETURN_IF_ERROR(
          CheckPresent(i, {{"d_out", task.d_out}, {"delta", task.delta}, {"d_q", task.d_q}}));
    }
    if (task.kv_rows > 0) {
      RALLY_RETURN_IF_ERROR(CheckPresent(i, {{"d_k", task.d_k}, {"d_v", task.d_v}}));
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
