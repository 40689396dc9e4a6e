#include "scheduler/model_shape.h"

namespace rally {

int64_t LayerParameterCount(const ModelShape& shape) {
  const int64_t query = shape.hidden_size * shape.heads * shape.head_dim;
  const int64_t key = shape.hidden_size * shape.kv_heads * shape.head_dim;
  const int64_t feed_forward = shape.hidden_size * shape.feed_forward_size;
  // Query and output, key and value, SwiGLU's three matrices, two norms.
  return 2 * query + 2 * key + 3 * feed_forward + 2 * shape.hidden_size;
}

int64_t ParameterCount(const ModelShape& shape) {
  const int64_t embedding = shape.vocabulary * shape.hidden_size;
  const int64_t embeddings = shape.tie_embeddings ? embedding : 2 * embedding;
  return embeddings + shape.layers * LayerParameterCount(shape) + shape.hidden_size;
}

double ForwardFlopsPerPair(const ModelShape& shape) {
  return 4.0 * static_cast<double>(shape.heads * shape.head_dim);
}

double BackwardFlopsPerPair(const ModelShape& shape) { return 2.5 * ForwardFlopsPerPair(shape); }

int64_t QueryRowElements(const ModelShape& shape) { return shape.heads * shape.head_dim; }

int64_t KeyValueRowElements(const ModelShape& shape) { return 2 * shape.kv_heads * shape.head_dim; }

}  // namespace rally
