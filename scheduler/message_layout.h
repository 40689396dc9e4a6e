// MessageLayout: where the parts of a route's messages lie.
//
// Homes and servers both evaluate it. Rows are packed without padding in the route's order; N, M, H
// as in model_shape.h:
//   forward request   q[query_rows, N, H] k[kv_rows, M, H] v[kv_rows, M, H]
//   forward reply     out[query_rows, N, H] lse[query_rows, N]
//   backward request  q, k, v as above, d_out[query_rows, N, H] lse[query_rows, N]
//                     delta[query_rows, N]   (delta = row sums of d_out * out; lse and out merged)
//   backward reply    d_q[query_rows, N, H] d_k[kv_rows, M, H] d_v[kv_rows, M, H]
// q, k, v and d_out are of the job's element; all else is float32. So replies are float32 always,
// and what a home merges or sums is exact to float rounding however the plan cuts it.
//
// Pure functions, any thread.
#ifndef RALLY_SCHEDULER_MESSAGE_LAYOUT_H_
#define RALLY_SCHEDULER_MESSAGE_LAYOUT_H_

#include <cstdint>

#include "scheduler/ca_task.h"
#include "scheduler/model_shape.h"
#include "scheduler/phase_routes.h"

namespace rally {

// Values per row.
struct RowSizes {
  int64_t heads = 0;  // N
  int64_t query = 0;  // N * H
  int64_t keys = 0;   // M * H
  AttentionElement element = AttentionElement::kFloat32;
};

RowSizes RowSizesOf(const ModelShape& shape, AttentionElement element);

// Offsets of parts and the whole size, in bytes. Each part is aligned for what it holds, if H is
// even. Parts that a message lacks begin where the next one does.
struct RequestLayout {
  int64_t q = 0;
  int64_t k = 0;
  int64_t v = 0;
  int64_t d_out = 0;
  int64_t lse = 0;
  int64_t delta = 0;
  int64_t size = 0;
};
RequestLayout LayOutRequest(const Route& route, const RowSizes& sizes, bool backward);

// Likewise, but in floats.
struct ReplyLayout {
  int64_t queries = 0;  // out or d_q
  int64_t lse = 0;
  int64_t d_k = 0;
  int64_t d_v = 0;
  int64_t size = 0;

  int64_t bytes() const { return size * static_cast<int64_t>(sizeof(float)); }
};
ReplyLayout LayOutReply(const Route& route, const RowSizes& sizes, bool backward);

}  // namespace rally

#endif  // RALLY_SCHEDULER_MESSAGE_LAYOUT_H_
