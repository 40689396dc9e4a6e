// The backward tile: a block of keys of one head against blocks of its queries.
//
// Keys lie in the lanes: K^T and V^T are made once for a block of keys and every product after that
// reads queries, output gradients, P and dS in their natural layouts, so nothing else is
// transposed.
//   P [queries, keys]   = exp2(Q K^T - lse)          dS = P (dO V^T - delta), times the scale
//   dV += P^T dO        dK += dS^T Q                 dQ += dS K
// K^T carries scale * log2(e), V^T and delta carry scale.
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_BACKWARD_TILE_H_
#define RALLY_WORKERS_ATTENTION_BACKWARD_TILE_H_

#include <cstdint>

#include "workers/attention/attention_tiles.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/tile_product.h"

namespace rally {

// Where a thread's workspace keeps what. Panels of C vectors start at lane * their other length.
struct BackwardWorkspace {
  explicit BackwardWorkspace(float* workspace) {
    float** const blocks[] = {&k_t, &v_t, &k, &d_k, &d_v, &q, &d_out};
    for (float** block : blocks) {
      *block = workspace;
      workspace += kBackwardRows * kMaxHeadDim;
    }
    p = workspace;
    d_s = p + kBackwardRows * kBackwardRows;
    lse = d_s + kBackwardRows * kBackwardRows;
    delta = lse + kBackwardRows;
  }

  float* k_t;    // [key panel, H, lanes]
  float* v_t;    // [key panel, H, lanes]
  float* k;      // [H panel, keys, lanes]
  float* d_k;    // [keys, H]
  float* d_v;    // [keys, H]
  float* q;      // [H panel, queries, lanes]
  float* d_out;  // [H panel, queries, lanes]
  float* p;      // [queries, kBackwardRows]
  float* d_s;    // [queries, kBackwardRows]
  float* lse;    // [queries], in units of log 2; +infinity for rows without a key
  float* delta;  // [queries]
};

// Products with keys in the lanes: a row of the result is a query. Lane 0 is key `lane`.
template <class V, int C, bool kMasked>
struct PairEpilogue {
  using Reg = typename V::Reg;
  static constexpr int kLanes = C * V::kLanes;

  float* p;    // At `lane`.
  float* d_s;  // At `lane`.
  const float* lse;
  const float* delta;
  int64_t lane;
  TileMask mask;

  template <int R>
  void Depth(int row, int64_t*, int64_t* end) const {
    if constexpr (kMasked) {
      const bool future = lane > row + R - 1 + mask.diagonal;
      const bool past = lane + kLanes <= row + mask.diagonal - mask.window + 1;
      if (future || past) *end = 0;
    }
  }
  template <int R>
  void Init(int, Reg (&acc)[R][C]) const {
    ClearTile<V, R, C>(acc);
  }
};

template <class V, int C, bool kMasked>
struct ProbabilityEpilogue : PairEpilogue<V, C, kMasked> {
  using Reg = typename V::Reg;

  template <int R>
  void Finish(int row, Reg (&acc)[R][C]) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Reg lse = V::Broadcast(this->lse[row + r]);
      float* out = this->p + static_cast<int64_t>(row + r) * kBackwardRows;
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        Reg p = V::Exp2(V::Sub(acc[r][c], lse));
        if constexpr (kMasked) {
          // The last lane a query may see is the one of its own position.
          const int64_t end = row + r + this->mask.diagonal + 1 - this->lane - c * V::kLanes;
          p = V::Keep(LaneBound<V>(end - this->mask.window), LaneBound<V>(end), V::LaneNumbers(), p,
                      V::Broadcast(0.0f));
        }
        V::Store(out + c * V::kLanes, p);
      }
    }
  }
};

template <class V, int C, bool kMasked>
struct ScoreGradientEpilogue : PairEpilogue<V, C, kMasked> {
  using Reg = typename V::Reg;

  template <int R>
  void Finish(int row, Reg (&acc)[R][C]) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Reg delta = V::Broadcast(this->delta[row + r]);
      const int64_t at = static_cast<int64_t>(row + r) * kBackwardRows;
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        const Reg p = V::Load(this->p + at + c * V::kLanes);
        V::Store(this->d_s + at + c * V::kLanes, V::Mul(p, V::Sub(acc[r][c], delta)));
      }
    }
  }
};

// Adds products to rows [H] of gradients in memory. kKeyRows: a row is a key and the sum is over
// queries; otherwise the other way round. Masked terms are zeros, most of which need no adding.
template <class V, int C, bool kKeyRows>
struct GradientEpilogue {
  using Reg = typename V::Reg;

  float* out;
  int64_t stride;
  TileMask mask;

  template <int R>
  void Depth(int row, int64_t* begin, int64_t* end) const {
    const int64_t first = kKeyRows ? row - mask.diagonal : row + mask.diagonal - mask.window + 1;
    const int64_t last =
        kKeyRows ? row + R - 1 - mask.diagonal + mask.window - 1 : row + R - 1 + mask.diagonal;
    if (*begin < first) *begin = first;
    if (*end > last + 1) *end = last + 1;
  }
  template <int R>
  void Init(int row, Reg (&acc)[R][C]) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        const float* x = out + (row + r) * stride + c * V::kLanes;
        acc[r][c] = V::Load(x);
        __builtin_prefetch(x + R * stride, 1);  // The next tile's.
      }
    }
  }
  template <int R>
  void Finish(int row, Reg (&acc)[R][C]) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) V::Store(out + (row + r) * stride + c * V::kLanes, acc[r][c]);
    }
  }
};

// Rows at a stride are too far apart for the processor to foresee.
inline constexpr int64_t kPrefetchRows = 8;

// Copies x [rows, H] into panels [H panel, rows, lanes].
template <class V>
inline void CopyToPanels(const float* x, int64_t stride, int rows, int head_dim, float* out) {
  ForEachPanel<V>(head_dim / V::kLanes, [&]<int C>(int first) {
    const float* in = x + first * V::kLanes;
    float* panel = out + static_cast<int64_t>(first) * V::kLanes * rows;
    for (int row = 0; row < rows; ++row) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        const float* x = in + row * stride + c * V::kLanes;
        __builtin_prefetch(x + kPrefetchRows * stride);
        V::Store(panel + (row * C + c) * V::kLanes, V::Load(x));
      }
    }
  });
}

template <class V>
constexpr int VectorsFor(int rows) {
  return (rows + V::kLanes - 1) / V::kLanes;
}

template <class V>
void BeginBackwardKeys(const BackwardKeys& keys) {
  const BackwardWorkspace work(keys.workspace);
  const int head_dim = keys.head_dim;
  ForEachPanel<V>(VectorsFor<V>(keys.keys), [&]<int C>(int first) {
    for (int c = 0; c < C; ++c) {
      const int key = (first + c) * V::kLanes;
      const int64_t in = key * keys.kv_stride;
      const int64_t out = static_cast<int64_t>(first) * V::kLanes * head_dim + c * V::kLanes;
      TransposeRows<V>(keys.k + in, keys.kv_stride, keys.keys - key, head_dim, keys.scale * kLog2E,
                       work.k_t + out, C * V::kLanes);
      TransposeRows<V>(keys.v + in, keys.kv_stride, keys.keys - key, head_dim, keys.scale,
                       work.v_t + out, C * V::kLanes);
    }
  });
  CopyToPanels<V>(keys.k, keys.kv_stride, keys.keys, head_dim, work.k);
  for (int i = 0; i < keys.keys * head_dim; ++i) work.d_k[i] = work.d_v[i] = 0.0f;
}

// P and dS of every query with every key.
template <class V, bool kMasked>
void BackwardPairs(const BackwardKeys& keys, const BackwardQueries& queries) {
  const BackwardWorkspace work(keys.workspace);
  ForEachPanel<V>(VectorsFor<V>(keys.keys), [&]<int C>(int first) {
    const int64_t lane = first * V::kLanes;
    const int64_t panel = lane * keys.head_dim;
    const PairEpilogue<V, C, kMasked> pair{work.p + lane, work.d_s + lane, work.lse, work.delta,
                                           lane,          queries.mask};
    Product<V, C>(LeftOperand<false>{queries.q, queries.q_stride}, queries.rows,
                  RightOperand<V>{work.k_t + panel, C * V::kLanes}, keys.head_dim,
                  ProbabilityEpilogue<V, C, kMasked>{pair});
    Product<V, C>(LeftOperand<false>{queries.d_out, queries.q_stride}, queries.rows,
                  RightOperand<V>{work.v_t + panel, C * V::kLanes}, keys.head_dim,
                  ScoreGradientEpilogue<V, C, kMasked>{pair});
  });
}

template <class V>
void AddBackwardQueries(const BackwardKeys& keys, const BackwardQueries& queries) {
  const BackwardWorkspace work(keys.workspace);
  for (int i = 0; i < queries.rows; ++i) {
    const float lse = queries.lse[i * queries.lse_stride];
    work.lse[i] = lse == -__builtin_inff() ? __builtin_inff() : lse * kLog2E;
    work.delta[i] = queries.delta[i * queries.lse_stride] * keys.scale;
  }
  CopyToPanels<V>(queries.q, queries.q_stride, queries.rows, keys.head_dim, work.q);
  CopyToPanels<V>(queries.d_out, queries.q_stride, queries.rows, keys.head_dim, work.d_out);
  const TileMask& mask = queries.mask;
  const bool masked =
      keys.keys - 1 > mask.diagonal || queries.rows - 1 + mask.diagonal - mask.window >= 0;
  if (masked) {
    BackwardPairs<V, true>(keys, queries);
  } else {
    BackwardPairs<V, false>(keys, queries);
  }
  ForEachPanel<V>(keys.head_dim / V::kLanes, [&]<int C>(int first) {
    const int64_t d = first * V::kLanes;
    const int64_t panel = d * queries.rows;
    Product<V, C>(LeftOperand<true>{work.p, kBackwardRows}, keys.keys,
                  RightOperand<V>{work.d_out + panel, C * V::kLanes}, queries.rows,
                  GradientEpilogue<V, C, true>{work.d_v + d, keys.head_dim, mask});
    Product<V, C>(LeftOperand<true>{work.d_s, kBackwardRows}, keys.keys,
                  RightOperand<V>{work.q + panel, C * V::kLanes}, queries.rows,
                  GradientEpilogue<V, C, true>{work.d_k + d, keys.head_dim, mask});
  });
}

template <class V>
void AddBackwardQueryGradient(const BackwardKeys& keys, const BackwardQueries& queries) {
  const BackwardWorkspace work(keys.workspace);
  ForEachPanel<V>(keys.head_dim / V::kLanes, [&]<int C>(int first) {
    const int64_t d = first * V::kLanes;
    Product<V, C>(LeftOperand<false>{work.d_s, kBackwardRows}, queries.rows,
                  RightOperand<V>{work.k + d * keys.keys, C * V::kLanes}, keys.keys,
                  GradientEpilogue<V, C, false>{queries.d_q + d, queries.q_stride, queries.mask});
  });
}

template <class V>
void EndBackwardKeys(const BackwardKeys& keys) {
  const BackwardWorkspace work(keys.workspace);
  for (int key = 0; key < keys.keys; ++key) {
    for (int d = 0; d < keys.head_dim; d += V::kLanes) {
      const int64_t from = static_cast<int64_t>(key) * keys.head_dim + d;
      const int64_t to = key * keys.kv_stride + d;
      V::Store(keys.d_k + to, V::Add(V::Load(keys.d_k + to), V::Load(work.d_k + from)));
      V::Store(keys.d_v + to, V::Add(V::Load(keys.d_v + to), V::Load(work.d_v + from)));
    }
  }
}

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_BACKWARD_TILE_H_
