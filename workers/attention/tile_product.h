// TileProduct: the one multiply-add loop all tiles are made of.
//
//   acc[r][lanes] = init + sum over i in [begin, end) of
//                          a[r * row + i * step] * b[i * pitch][lanes]
//
// where a and b are units (units.h). `a` is read by scalar broadcast in whatever layout it has, `b`
// by whole vectors, and R x C vectors of results stay in registers. What happens before and after
// the loop is the epilogue's:
//
//   template <int R> void Depth(int row, int64_t* begin, int64_t* end);  // Narrows the sum.
//   template <int R> void Init(int row, Reg (&acc)[R][C]);
//   template <int R> void Finish(int row, Reg (&acc)[R][C]);
#ifndef RALLY_WORKERS_ATTENTION_TILE_PRODUCT_H_
#define RALLY_WORKERS_ATTENTION_TILE_PRODUCT_H_

#include <cstdint>

#include "workers/attention/units.h"

namespace rally {

// The left operand. One of the two strides is 1.
template <bool kRowsAdjacent>
struct LeftOperand {
  const float* data;
  int64_t stride;  // Of the sum's index when rows are adjacent, of the rows when they are not.
};

template <class V>
struct RightOperand {
  const float* data;
  int64_t pitch;
};

template <class V, int R, int C, bool kRowsAdjacent, class Epilogue>
[[gnu::always_inline]] inline void ProductTile(const LeftOperand<kRowsAdjacent>& left, int row,
                                               const RightOperand<V>& right, int64_t depth,
                                               Epilogue& epilogue) {
  using Reg = typename V::Reg;
  int64_t begin = 0;
  int64_t end = depth;
  epilogue.template Depth<R>(row, &begin, &end);
  Reg acc[R][C];
  epilogue.template Init<R>(row, acc);
  const int64_t row_stride = kRowsAdjacent ? 1 : left.stride;
  const int64_t step = kRowsAdjacent ? left.stride : 1;
  const float* a = left.data + row * row_stride + begin * step;
  const float* b = right.data + begin * right.pitch;
#pragma GCC unroll 4
  for (int64_t i = begin; i < end; ++i) {
    Reg wide[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) wide[c] = V::Load(b + c * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Reg x = BroadcastUnit<V>(a + r * row_stride);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) acc[r][c] = MultiplyAdd<V>(x, wide[c], acc[r][c]);
    }
    a += step;
    b += right.pitch;
  }
  epilogue.template Finish<R>(row, acc);
}

template <class V, int R, int C>
[[gnu::always_inline]] inline void ClearTile(typename V::Reg (&acc)[R][C]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) acc[r][c] = V::Broadcast(0.0f);
  }
}

// All of `rows` rows; the last few by smaller tiles. Two rows alone would keep a multiply-add
// waiting for the one before: eight are four and four.
template <class V, int C, bool kRowsAdjacent, class Epilogue>
inline void Product(const LeftOperand<kRowsAdjacent>& left, int rows, const RightOperand<V>& right,
                    int64_t depth, Epilogue epilogue) {
  constexpr int kRows = V::kTileRows[C];
  int row = 0;
  for (; row + kRows <= rows && (kRows == 8 || rows - row != 8); row += kRows) {
    ProductTile<V, kRows, C>(left, row, right, depth, epilogue);
  }
  for (; row + 4 <= rows; row += 4) ProductTile<V, 4, C>(left, row, right, depth, epilogue);
  if (row + 2 <= rows) {
    ProductTile<V, 2, C>(left, row, right, depth, epilogue);
    row += 2;
  }
  if (row < rows) ProductTile<V, 1, C>(left, row, right, depth, epilogue);
}

// Vectors of the next panel when `left` are still to be covered: as wide as the tiles get, with no
// narrow one at the end where that can be.
template <class V>
constexpr int PanelVectors(int left) {
  if (V::kMaxVectors < 4) return left < V::kMaxVectors ? left : V::kMaxVectors;
  if (left % 3 == 0) return 3;
  if (left % 4 == 0) return 4;
  return left < 3 ? left : 3;
}

// Calls body.operator()<C>(first) for each panel of `vectors` vectors, `first` in vectors.
template <class V, class Body>
inline void ForEachPanel(int vectors, Body body) {
  for (int first = 0; first < vectors;) {
    const int width = PanelVectors<V>(vectors - first);
    if (width == 1) body.template operator()<1>(first);
    if (width == 2) body.template operator()<2>(first);
    if constexpr (V::kMaxVectors >= 4) {
      if (width == 3) body.template operator()<3>(first);
      if (width == 4) body.template operator()<4>(first);
    }
    first += width;
  }
}

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_TILE_PRODUCT_H_
