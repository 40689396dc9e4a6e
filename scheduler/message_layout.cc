#include "scheduler/message_layout.h"

namespace rally {

RowSizes RowSizesOf(const ModelShape& shape, AttentionElement element) {
  return {shape.heads, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim, element};
}

RequestLayout LayOutRequest(const Route& route, const RowSizes& sizes, bool backward) {
  const int64_t element = ElementBytes(sizes.element);
  const int64_t queries = route.query_rows * sizes.query * element;
  const int64_t keys = route.kv_rows * sizes.keys * element;
  const int64_t row_values = route.query_rows * sizes.heads * static_cast<int64_t>(sizeof(float));
  RequestLayout layout;
  layout.k = queries;
  layout.v = layout.k + keys;
  layout.d_out = layout.v + keys;
  layout.lse = layout.d_out + (backward ? queries : 0);
  layout.delta = layout.lse + (backward ? row_values : 0);
  layout.size = layout.delta + (backward ? row_values : 0);
  return layout;
}

ReplyLayout LayOutReply(const Route& route, const RowSizes& sizes, bool backward) {
  const int64_t keys = route.kv_rows * sizes.keys;
  ReplyLayout layout;
  layout.lse = route.query_rows * sizes.query;
  layout.d_k = layout.lse + (backward ? 0 : route.query_rows * sizes.heads);
  layout.d_v = layout.d_k + (backward ? keys : 0);
  layout.size = layout.d_v + (backward ? keys : 0);
  return layout;
}

}  // namespace rally
