// AttentionTiles: the arithmetic of one tile of core attention, one set of functions for each
// instruction set and element of q, k, v and d_out. CpuAttentionKernel cuts tasks into tiles, owns
// threads and workspaces, and calls through these tables. Everything but those four is float32.
//
// A row i of a tile and a key row j may attend when 0 <= i + diagonal - j < window. Strides are in
// elements. Workspaces are aligned to 64 bytes and belong to one thread. Functions are thread-safe.
#ifndef RALLY_WORKERS_ATTENTION_ATTENTION_TILES_H_
#define RALLY_WORKERS_ATTENTION_ATTENTION_TILES_H_

#include <cstdint>

namespace rally {

inline constexpr int kMaxHeadDim = 256;

// Most lanes of a forward tile: heads times rows, rows rounded up to kForwardRowStep.
inline constexpr int kForwardLanes = 512;
inline constexpr int kForwardRowStep = 16;
// Most query rows, and most keys, of a backward tile.
inline constexpr int kBackwardRows = 144;
// Floats of one thread's workspace, enough for either direction.
inline constexpr int64_t kTileWorkspaceFloats = 2 * kForwardLanes * kMaxHeadDim + 196608;

// A bfloat16: the upper half of a float32.
struct Bfloat16 {
  uint16_t bits;
};

// The allowed pairs of a tile.
struct TileMask {
  int64_t diagonal = 0;  // Position of query row 0 less position of key row 0.
  int64_t window = 0;    // At least 1; very large means plain causal.
};

// Query rows [0, rows) of some adjacent heads against all keys of the key/value head they share.
struct ForwardTile {
  const void* q;  // Query row 0, first head; q, out: [rows, heads, H] at q_stride, out is written.
  float* out;
  float* lse;     // [rows, heads] at lse_stride, written.
  const void* k;  // Key row 0; k, v: [keys, H] at kv_stride.
  const void* v;
  int64_t q_stride;
  int64_t lse_stride;
  int64_t kv_stride;
  int64_t keys;
  int32_t rows;
  int32_t heads;
  int32_t head_dim;
  float scale;
  TileMask mask;
  float* workspace;
};

// Keys [0, keys) of one key/value head. Begin lays them out in the workspace and clears the
// gradients there; End adds the gradients to d_k and d_v.
struct BackwardKeys {
  const void* k;  // [keys, H] at kv_stride, as v, d_k, d_v.
  const void* v;
  float* d_k;  // Added to, as d_v.
  float* d_v;
  int64_t kv_stride;
  int32_t keys;
  int32_t head_dim;
  float scale;
  float* workspace;
};

// Query rows [0, rows) of one head against the keys in the workspace.
struct BackwardQueries {
  const void* q;  // [rows, H] at q_stride, as d_out.
  const void* d_out;
  float* d_q;        // [rows, H] at q_stride; overwritten if `first`, else added to.
  const float* lse;  // [rows] at lse_stride, as delta.
  const float* delta;
  int64_t q_stride;
  int64_t lse_stride;
  int32_t rows;
  bool first;
  TileMask mask;
};

struct AttentionTiles {
  void (*forward)(const ForwardTile& tile);
  void (*begin_keys)(const BackwardKeys& keys);
  // Probabilities, their gradients, and the sums of d_k and d_v in the workspace.
  void (*add_queries)(const BackwardKeys& keys, const BackwardQueries& queries);
  // Adds to d_q what the last add_queries left in the workspace. Once: it takes the place of q.
  void (*add_query_gradient)(const BackwardKeys& keys, const BackwardQueries& queries);
  void (*end_keys)(const BackwardKeys& keys);
};

// Of each element: float32, then bfloat16. The latter widens elements, which is exact.
extern const AttentionTiles kPortableTiles[2];
#if defined(__x86_64__)
extern const AttentionTiles kAvx2Tiles[2];
extern const AttentionTiles kAvx512Tiles[2];
// Products of bfloat16, to which probabilities and gradients of scores are rounded.
extern const AttentionTiles kAvx512Bf16Tiles;
#endif

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_ATTENTION_TILES_H_
