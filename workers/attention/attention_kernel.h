// AttentionKernel: the arithmetic of CA-tasks on one device, fused and of variable length.
//
// One call computes many tasks of any length. Per task and query head n, with its key/value head
// m = n / (heads / kv_heads), query row i at position q_position + i, key row j at position
// kv_position + j, and only pairs the mask allows:
//   s_ij = scale * q_i . k_j      lse_i = log sum_j exp(s_ij)      out_i = sum_j exp(s_ij - lse_i)
//   v_j
// A query row with no allowed key gives out = 0 and lse = -infinity. What is not finite in a row of
// q reaches that row and head alone; in a row of k or v, the query rows that see it and no others.
//
// With bfloat16 elements, p_ij and ds_ij are rounded to bfloat16 before the products that sum them
// where the instruction set multiplies bfloat16 (avx512_bf16, which also takes subnormal numbers
// for zero); lse is good to 3e-6 then, and all other arithmetic is float32. Elsewhere elements are
// widened, which is exact, and all arithmetic is float32.
//
// Backward takes the *merged* lse and delta of the whole row, so that the parts of a row split over
// key ranges add up to the exact gradient:
//   p_ij = exp(s_ij - lse_i)   ds_ij = p_ij (d_out_i . v_j - delta_i)
//   d_q_i = scale * sum_j ds_ij k_j   d_k_j = scale * sum_i ds_ij q_i   d_v_j = sum_i p_ij d_out_i
// d_k and d_v sum over the query heads of the group and are accumulated (+=) in task order, so
// tasks of one batch may share key/value rows; the result is bit-identical however many threads
// compute it. All other outputs are overwritten. A row whose lse is -infinity gives no gradient.
//
// A row with another lse, or a delta, that is not finite (as one has when its q or d_out is not, or
// a k or v that it sees) makes its d_q and the d_k and d_v of all keys that it sees not finite, and
// no others. An lse in float32 makes p_ij err by a factor of up to exp(|lse_i| 2^-22), a quarter at
// a million, besides what s_ij does: forward and backward compute s_ij in different orders. p_ij is
// at most 1 all the same.
//
// Source of the algorithm: FlashAttention-2 (arXiv 2307.08691), variable-length form.
//
// Threads: a kernel owns its thread pool; one call at a time per kernel object. Memory is the
// caller's; no pointer is kept after the call.
#ifndef RALLY_WORKERS_ATTENTION_ATTENTION_KERNEL_H_
#define RALLY_WORKERS_ATTENTION_ATTENTION_KERNEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/ca_task.h"
#include "workers/attention/cpu_instruction_set.h"

namespace rally {

// Heads, mask and element shared by every task of a batch.
struct AttentionShape {
  int32_t heads = 1;      // N
  int32_t kv_heads = 1;   // M, divides N
  int32_t head_dim = 64;  // H: 32, 64, 96, 128, 192 or 256
  float scale = 0.0f;     // 0 means 1 / sqrt(head_dim)
  AttentionMask mask;
  AttentionElement element = AttentionElement::kFloat32;

  friend bool operator==(const AttentionShape&, const AttentionShape&) = default;
};

// One CA-task's rows in memory. Rows are packed: row i of q starts at q + i * heads * head_dim.
// What is void here are elements of the shape's kind, aligned as such.
struct VarlenTask {
  int64_t q_rows = 0;
  int64_t kv_rows = 0;
  int64_t q_position = 0;   // Position in the document of query row 0.
  int64_t kv_position = 0;  // Position in the document of key row 0.
  const void* q = nullptr;  // [q_rows, N, H]
  const void* k = nullptr;  // [kv_rows, M, H]
  const void* v = nullptr;  // [kv_rows, M, H]

  // Forward: written. Backward: out is not used, lse is read.
  float* out = nullptr;  // [q_rows, N, H]
  float* lse = nullptr;  // [q_rows, N]

  // Backward only.
  const void* d_out = nullptr;   // [q_rows, N, H]
  const float* delta = nullptr;  // [q_rows, N]
  float* d_q = nullptr;          // [q_rows, N, H], overwritten
  float* d_k = nullptr;          // [kv_rows, M, H], accumulated
  float* d_v = nullptr;          // [kv_rows, M, H], accumulated
};

using VarlenBatch = std::vector<VarlenTask>;

class AttentionKernel {
 public:
  virtual ~AttentionKernel() = default;

  // InvalidArgument when the shape is not supported, naming the field and what is accepted.
  virtual absl::Status Forward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) = 0;
  virtual absl::Status Backward(const AttentionShape& shape,
                                absl::Span<const VarlenTask> tasks) = 0;

  // For logs and benches; of a CPU's kernel the name of its instruction set.
  virtual std::string name() const = 0;
};

struct CpuKernelOptions {
  int32_t threads = 0;  // 0: as many as the cores this process may use.
  CpuInstructionSet instruction_set = CpuInstructionSet::kBest;
};

// FailedPrecondition, naming what there is, when this CPU lacks the instruction set asked for.
absl::StatusOr<std::unique_ptr<AttentionKernel>> MakeCpuAttentionKernel(
    const CpuKernelOptions& options);

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_ATTENTION_KERNEL_H_
