// AttentionCase: one document's rows with random contents, cut into CA-tasks, for kernel tests.
//
// Holds inputs, the outputs of every part, and the whole's results after merging. Inputs are floats
// that the shape's element can hold; a kernel gets them as elements, and the reference as floats.
// Copyable; tasks point into the case they were asked of.
#ifndef RALLY_TESTS_ATTENTION_ATTENTION_CASE_H_
#define RALLY_TESTS_ATTENTION_ATTENTION_CASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/attention/reference_attention.h"
#include "workers/attention/attention_kernel.h"

namespace rally {

struct AttentionCase {
  // Rows with normally distributed contents.
  AttentionCase(const AttentionShape& shape, int64_t q_rows, int64_t kv_rows, int64_t q_position,
                int64_t kv_position, uint64_t seed);

  // Cuts query rows and key rows at these rows; both lists begin with 0 and end with the rows.
  void Cut(std::vector<int64_t> q_cuts, std::vector<int64_t> kv_cuts);

  // Makes inputs that were changed values that the shape's element can hold again.
  void RoundInputs();

  // The uncut task, on the whole's tensors, for a kernel.
  VarlenTask Whole();
  // The same with inputs as floats, whatever the element.
  VarlenTask WholeOfFloats();
  // One task for each rectangle, outputs to the parts.
  std::vector<VarlenTask> ForwardTasks();
  // Parts of out and lse to the whole's.
  void MergeParts();
  // Sets lse and delta to the reference's, as a home would have them.
  void SetRowStatistics(const ReferenceOutput& output);
  // One task for each rectangle, d_q to the parts, d_k and d_v added to the whole's after clearing.
  std::vector<VarlenTask> BackwardTasks();
  // Parts of d_q to the whole's.
  void SumQueryGradients();

  std::string Describe() const;

  AttentionShape shape;
  int64_t q_rows, kv_rows, q_position, kv_position;
  std::vector<float> q, k, v, d_out, delta;
  std::vector<float> out, lse, d_q, d_k, d_v;

 private:
  std::vector<VarlenTask> Tasks();
  // `tensor` from `at` on, as elements; `copy` holds them if they are not floats.
  const void* Elements(const std::vector<float>& tensor, int64_t at, std::vector<uint16_t>* copy);

  std::vector<int64_t> q_cuts_, kv_cuts_;
  // Of each key range: [kv parts][q_rows, N, H] and [kv parts][q_rows, N].
  std::vector<std::vector<float>> out_parts_, lse_parts_, d_q_parts_;
  std::vector<uint16_t> q_copy_, k_copy_, v_copy_, d_out_copy_;  // As bfloat16.
};

// A case of random shape, mask, grouping, overlap and cuts; the same for the same seed.
AttentionCase RandomAttentionCase(uint64_t seed, AttentionElement element);

}  // namespace rally

#endif  // RALLY_TESTS_ATTENTION_ATTENTION_CASE_H_
