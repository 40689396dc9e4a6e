// The backward tile: a block of keys of one head against blocks of its queries.
//
// Keys lie in the lanes: K^T and V^T are made once for a block of keys and every product after that
// reads queries, output gradients, P and dS in their natural layouts, so nothing else is
// transposed. Rows of one head stand far apart in memory: each block of them is brought together
// before it is computed on, and dQ goes back the same way.
//   P [queries, keys]   = exp2(min(0, scale * log2(e) * Q K^T - lse))
//   dS                  = P (scale * dO V^T - delta), where delta carries the scale
//   dV += P^T dO        dK += dS^T Q                 dQ += dS K
// Operands of products are units (units.h): along rows in the first two, across queries in dV and
// dK, across keys in dQ. dS of whole elements is computed with P not yet rounded to elements.
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_BACKWARD_TILE_H_
#define RALLY_WORKERS_ATTENTION_BACKWARD_TILE_H_

#include <cstdint>

#include "workers/attention/attention_tiles.h"
#include "workers/attention/exp2_polynomial.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/tile_product.h"

namespace rally {

// Where a thread's workspace keeps what. Panels of C vectors start at lane * their other length;
// rows are at RowPitch. Across and along rows are the same if units are elements (AcrossRows).
template <class V>
struct BackwardWorkspace {
  explicit BackwardWorkspace(float* workspace) {
    float** const blocks[] = {&k_t,    &v_t,        &k_rows, &k,     &d_k,
                              &q_rows, &d_out_rows, &q,      &d_out, &d_v};
    for (float** block : blocks) {
      *block = workspace;
      workspace += kBackwardRows * RowPitch(kMaxHeadDim);
    }
    static_assert(10 * kBackwardRows * RowPitch(kMaxHeadDim) + 2 * kBackwardRows * kBackwardRows +
                      2 * kBackwardRows <=
                  kTileWorkspaceFloats);
    p = workspace;
    d_s = p + kBackwardRows * kBackwardRows;
    d_s_rows = V::kPack == 1 ? d_s : d_s + UnitsFor<V>(kBackwardRows) * kBackwardRows;
    minus_lse = d_s + kBackwardRows * kBackwardRows;
    minus_delta = minus_lse + kBackwardRows;
    v_rows = d_out_rows;
    d_q = q_rows;
    if (V::kPack > 1) return;
    k = k_rows;
    q = q_rows;
    d_out = d_out_rows;
  }

  float* k_t;         // [key panel, units of H, lanes]
  float* v_t;         // [key panel, units of H, lanes]
  float* k_rows;      // [keys, units of H]
  float* k;           // [units of keys, H]
  float* v_rows;      // [keys, units of H], until there are queries.
  float* d_k;         // [keys, H]
  float* d_v;         // [keys, H]
  float* q_rows;      // [queries, units of H]
  float* d_out_rows;  // [queries, units of H]
  float* q;           // [units of queries, H]
  float* d_out;       // [units of queries, H]
  float* p;           // [queries, kBackwardRows] of float32; then [units of queries, kBackwardRows]
  float* d_s;         // [units of queries, kBackwardRows]
  float* d_s_rows;    // [queries, units of kBackwardRows]; the same as d_s if units are elements
  float* d_q;         // [queries, H], once q_rows has been read.
  float* minus_lse;   // [queries], times log2(e); -infinity for rows without a key
  float* minus_delta;  // [queries], times the scale
};

// Products with keys in the lanes: a row of the result is a query. Lane 0 is key `lane`.
template <class V, int C, bool kMasked>
struct PairEpilogue {
  using Reg = typename V::Reg;
  static constexpr int kLanes = C * V::kLanes;

  float* p;  // At `lane`, as d_s.
  float* d_s;
  float* d_s_rows;  // Not at `lane`.
  const float* minus_lse;
  const float* minus_delta;
  int64_t lane;
  int64_t keys;  // That exist: with kMasked, lanes past them get zeros.
  float scale;
  float log2_scale;  // Times log2(e).
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
    const Reg scale = V::Broadcast(this->log2_scale);
    const Exp2Polynomial<V> polynomial;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Reg minus_lse = V::Broadcast(this->minus_lse[row + r]);
      float* out = this->p + static_cast<int64_t>(row + r) * kBackwardRows;
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        // No score is above lse, but large ones err by much, and lse does, too.
        const Reg exponent = V::Fma(acc[r][c], scale, minus_lse);
        Reg p = V::Exp2(polynomial, V::Min(V::Broadcast(0.0f), exponent));
        if constexpr (kMasked) {
          // The last lane a query may see is the one of its own position.
          const int64_t first_lane = this->lane + c * V::kLanes;
          const int64_t seen = row + r + this->mask.diagonal + 1;
          const int64_t end = seen < this->keys ? seen : this->keys;
          p = V::Keep(LaneBound<V>(seen - this->mask.window - first_lane),
                      LaneBound<V>(end - first_lane), V::LaneNumbers(), p, V::Broadcast(0.0f));
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
    const Reg scale = V::Broadcast(this->scale);
#pragma GCC unroll 8
    for (int r = 0; r < R; r += V::kPack) {
      // Tiles begin at whole units of queries; only the last row of all may have no partner.
      const int64_t unit = static_cast<int64_t>((row + r) / V::kPack) * kBackwardRows;
      Reg minus_delta[V::kPack];
#pragma GCC unroll 2
      for (int i = 0; i < V::kPack; ++i) {
        if (r + i < R) minus_delta[i] = V::Broadcast(this->minus_delta[row + r + i]);
      }
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        Reg p[V::kPack];
        Reg d_s[V::kPack];
#pragma GCC unroll 2
        for (int i = 0; i < V::kPack; ++i) {
          p[i] = d_s[i] = V::Broadcast(0.0f);
          if (r + i >= R) continue;
          const int64_t query = row + r + i;
          p[i] = V::Load(this->p + query * kBackwardRows + c * V::kLanes);
          d_s[i] = V::Mul(p[i], V::Fma(acc[r + i][c], scale, minus_delta[i]));
          // Also a masked pair's, whose 0 may have met a NaN.
          if constexpr (kMasked) {
            d_s[i] = V::Keep(0.0f, __FLT_MIN__, p[i], V::Broadcast(0.0f), d_s[i]);
          }
          if constexpr (V::kPack > 1) {
            V::StoreRounded(this->d_s_rows + query * (kBackwardRows / V::kPack),
                            this->lane + c * V::kLanes, d_s[i]);
          }
        }
        // In place of the first of the rows already read.
        if (V::kPack > 1) V::Store(this->p + unit + c * V::kLanes, PackTerms<V>(p));
        V::Store(this->d_s + unit + c * V::kLanes, PackTerms<V>(d_s));
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
    if (*begin < first / V::kPack) *begin = first / V::kPack;
    if (*end > UnitsFor<V>(last + 1)) *end = UnitsFor<V>(last + 1);
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

template <class V>
constexpr int VectorsFor(int rows) {
  return (rows + V::kLanes - 1) / V::kLanes;
}

template <class V, class Element>
void BeginBackwardKeys(const BackwardKeys& keys) {
  const BackwardWorkspace<V> work(keys.workspace);
  const int head_dim = keys.head_dim;
  const int units = head_dim / V::kPack;
  const UnitRows k_rows = Gathered<V>(static_cast<const Element*>(keys.k), keys.kv_stride,
                                      keys.keys, head_dim, work.k_rows);
  const UnitRows v_rows = Gathered<V>(static_cast<const Element*>(keys.v), keys.kv_stride,
                                      keys.keys, head_dim, work.v_rows);
  ForEachPanel<V>(VectorsFor<V>(keys.keys), [&]<int C>(int first) {
    for (int c = 0; c < C; ++c) {
      const int key = (first + c) * V::kLanes;
      const int64_t out = static_cast<int64_t>(first) * V::kLanes * units + c * V::kLanes;
      TransposeRows<V>(k_rows.From(key), keys.keys - key, units, work.k_t + out, C * V::kLanes);
      TransposeRows<V>(v_rows.From(key), keys.keys - key, units, work.v_t + out, C * V::kLanes);
    }
  });
  const UnitRows k = AcrossRows<V>(k_rows, keys.keys, head_dim, work.k);
  // Their scores carry it to the queries that see them; a masked query's 0 must meet none.
  const int64_t key_units = UnitsFor<V>(keys.keys);
  if (!AllFinite<V>(k, key_units, head_dim)) ClearUnfinite<V>(key_units, head_dim, work.k);
  for (int64_t i = 0; i < keys.keys * RowPitch(head_dim); ++i) work.d_k[i] = work.d_v[i] = 0.0f;
}

// P and dS of every query with every key.
template <class V, bool kMasked>
void BackwardPairs(const BackwardKeys& keys, const BackwardQueries& queries, const UnitRows& q,
                   const UnitRows& d_out) {
  const BackwardWorkspace<V> work(keys.workspace);
  ForEachPanel<V>(VectorsFor<V>(keys.keys), [&]<int C>(int first) {
    const int64_t lane = first * V::kLanes;
    const int units = keys.head_dim / V::kPack;
    const int64_t panel = lane * units;
    const PairEpilogue<V, C, kMasked> pair{.p = work.p + lane,
                                           .d_s = work.d_s + lane,
                                           .d_s_rows = work.d_s_rows,
                                           .minus_lse = work.minus_lse,
                                           .minus_delta = work.minus_delta,
                                           .lane = lane,
                                           .keys = keys.keys,
                                           .scale = keys.scale,
                                           .log2_scale = keys.scale * kLog2E,
                                           .mask = queries.mask};
    Product<V, C>(LeftOperand<false>{q.data, q.stride}, queries.rows,
                  RightOperand<V>{work.k_t + panel, C * V::kLanes}, units,
                  ProbabilityEpilogue<V, C, kMasked>{pair});
    Product<V, C>(LeftOperand<false>{d_out.data, d_out.stride}, queries.rows,
                  RightOperand<V>{work.v_t + panel, C * V::kLanes}, units,
                  ScoreGradientEpilogue<V, C, kMasked>{pair});
  });
}

template <class V, class Element>
void AddBackwardQueries(const BackwardKeys& keys, const BackwardQueries& queries) {
  const BackwardWorkspace<V> work(keys.workspace);
  bool finite = true;
  for (int i = 0; i < queries.rows; ++i) {
    const float lse = queries.lse[i * queries.lse_stride];
    const float delta = queries.delta[i * queries.lse_stride];
    // What is not finite comes of the row's own q or d_out: P tells it to the keys that it sees.
    const float known =
        __builtin_isfinite(lse) && __builtin_isfinite(delta) ? lse : __builtin_nanf("");
    work.minus_lse[i] = lse == -__builtin_inff() ? lse : -known * kLog2E;
    work.minus_delta[i] = -delta * keys.scale;
    finite = finite && __builtin_isfinite(work.minus_lse[i]);
  }
  const int head_dim = keys.head_dim;
  const UnitRows q_rows = Gathered<V>(static_cast<const Element*>(queries.q), queries.q_stride,
                                      queries.rows, head_dim, work.q_rows);
  const UnitRows d_out_rows =
      Gathered<V>(static_cast<const Element*>(queries.d_out), queries.q_stride, queries.rows,
                  head_dim, work.d_out_rows);
  const TileMask& mask = queries.mask;
  // A key that has no partner in its unit is one to mask: 0 for K, but anything for dS.
  const bool masked = keys.keys - 1 > mask.diagonal ||
                      queries.rows - 1 + mask.diagonal - mask.window >= 0 ||
                      keys.keys % V::kPack != 0;
  if (masked) {
    BackwardPairs<V, true>(keys, queries, q_rows, d_out_rows);
  } else {
    BackwardPairs<V, false>(keys, queries, q_rows, d_out_rows);
  }
  const int64_t units = UnitsFor<V>(queries.rows);
  const UnitRows q = AcrossRows<V>(q_rows, queries.rows, head_dim, work.q);
  const UnitRows d_out = AcrossRows<V>(d_out_rows, queries.rows, head_dim, work.d_out);
  if (!finite) {
    ClearUnfinite<V>(units, head_dim, work.q);
    ClearUnfinite<V>(units, head_dim, work.d_out);
  }
  const int64_t pitch = RowPitch(head_dim);
  ForEachPanel<V>(head_dim / V::kLanes, [&]<int C>(int first) {
    const int64_t d = first * V::kLanes;
    Product<V, C>(LeftOperand<true>{work.p, kBackwardRows}, keys.keys,
                  RightOperand<V>{d_out.data + d, d_out.stride}, units,
                  GradientEpilogue<V, C, true>{work.d_v + d, pitch, mask});
    Product<V, C>(LeftOperand<true>{work.d_s, kBackwardRows}, keys.keys,
                  RightOperand<V>{q.data + d, q.stride}, units,
                  GradientEpilogue<V, C, true>{work.d_k + d, pitch, mask});
  });
}

template <class V>
void AddBackwardQueryGradient(const BackwardKeys& keys, const BackwardQueries& queries) {
  const BackwardWorkspace<V> work(keys.workspace);
  const int head_dim = keys.head_dim;
  const int64_t pitch = RowPitch(head_dim);
  if (queries.first) {
    for (int64_t i = 0; i < queries.rows * pitch; ++i) work.d_q[i] = 0.0f;
  } else {
    GatheredUnits<V>({queries.d_q, queries.q_stride}, queries.rows, head_dim, work.d_q);
  }
  ForEachPanel<V>(head_dim / V::kLanes, [&]<int C>(int first) {
    const int64_t d = first * V::kLanes;
    Product<V, C>(LeftOperand<false>{work.d_s_rows, kBackwardRows / V::kPack}, queries.rows,
                  RightOperand<V>{work.k + d, pitch}, UnitsFor<V>(keys.keys),
                  GradientEpilogue<V, C, false>{work.d_q + d, pitch, queries.mask});
  });
  for (int64_t row = 0; row < queries.rows; ++row) {
    const float* const from = work.d_q + row * pitch;
    float* const to = queries.d_q + row * queries.q_stride;
    for (int d = 0; d < head_dim; d += V::kLanes) V::Store(to + d, V::Load(from + d));
  }
}

template <class V>
void EndBackwardKeys(const BackwardKeys& keys) {
  const BackwardWorkspace<V> work(keys.workspace);
  for (int64_t key = 0; key < keys.keys; ++key) {
    for (int d = 0; d < keys.head_dim; d += V::kLanes) {
      const int64_t from = key * RowPitch(keys.head_dim) + d;
      const int64_t to = key * keys.kv_stride + d;
      V::Store(keys.d_k + to, V::Add(V::Load(keys.d_k + to), V::Load(work.d_k + from)));
      V::Store(keys.d_v + to, V::Add(V::Load(keys.d_v + to), V::Load(work.d_v + from)));
    }
  }
}

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_BACKWARD_TILE_H_
