// ModelShape: the sizes of a Llama-family transformer, and the arithmetic that follows from them.
//
// Letters used throughout for shapes: T tokens, S keys, N query heads, M key/value heads,
// H head_dim, D hidden size, F feed-forward size, V vocabulary, L layers.
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_MODEL_SHAPE_H_
#define RALLY_SCHEDULER_MODEL_SHAPE_H_

#include <cstdint>

#include "scheduler/ca_task.h"

namespace rally {

struct ModelShape {
  int64_t layers = 4;               // L
  int64_t hidden_size = 256;        // D
  int64_t feed_forward_size = 704;  // F, the SwiGLU's inner width
  int64_t heads = 4;                // N
  int64_t kv_heads = 2;             // M, divides N
  int64_t head_dim = 64;            // H
  int64_t vocabulary = 0;           // V; 0 takes the dataset's
  bool tie_embeddings = false;      // The output head shares the embedding's weights.
  double rope_theta = 10000.0;
  double rms_norm_epsilon = 1e-5;
  AttentionMask mask;

  friend bool operator==(const ModelShape&, const ModelShape&) = default;
};

// Weights of the whole model, and of one layer.
int64_t ParameterCount(const ModelShape& shape);
int64_t LayerParameterCount(const ModelShape& shape);

// Core-attention FLOP per allowed (query, key) pair, all query heads of one layer:
// 4 * N * H forward; backward is 2.5 times that.
double ForwardFlopsPerPair(const ModelShape& shape);
double BackwardFlopsPerPair(const ModelShape& shape);

// Floats of one query row (N * H) and of one key plus one value row (2 * M * H).
int64_t QueryRowElements(const ModelShape& shape);
int64_t KeyValueRowElements(const ModelShape& shape);

}  // namespace rally

#endif  // RALLY_SCHEDULER_MODEL_SHAPE_H_
