// What the forward tile's products do before and after their loops (tile_product.h).
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_FORWARD_EPILOGUE_H_
#define RALLY_WORKERS_ATTENTION_FORWARD_EPILOGUE_H_

#include <cstdint>

#include "workers/attention/tile_product.h"

namespace rally {

inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2 = 0.693147180559945309f;

// A lane number near `x`: far past the lanes all values are alike.
template <class V>
inline float LaneBound(int64_t x) {
  constexpr int64_t kFar = 1 << 16;
  return static_cast<float>(x < -kFar ? -kFar : x > kFar ? kFar : x);
}

// Stores scores and keeps each query's maximum. Masked pairs become -infinity before that, or a
// large masked score would underflow the row. The tile's C vectors are the last of a panel's.
template <class V, int C, int kPanelVectors, bool kMasked>
struct ScoreEpilogue {
  using Reg = typename V::Reg;

  float* scores;  // [keys, panel], at the tile's first lane.
  float* max;     // [C vectors]
  // Key `row` may be seen by the lanes in [row + first, row + first + window).
  int64_t first;
  int64_t window;

  template <int R>
  void Depth(int, int64_t*, int64_t*) const {}

  template <int R>
  void Init(int, Reg (&acc)[R][C]) const {
    ClearTile<V, R, C>(acc);
  }

  template <int R>
  void Finish(int row, Reg (&acc)[R][C]) const {
    float* out = scores + static_cast<int64_t>(row) * kPanelVectors * V::kLanes;
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      Reg largest = V::Load(max + c * V::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        if constexpr (kMasked) {
          const int64_t lane = row + r + first - c * V::kLanes;
          acc[r][c] = V::Keep(LaneBound<V>(lane), LaneBound<V>(lane + window), V::LaneNumbers(),
                              acc[r][c], V::Broadcast(-__builtin_inff()));
        }
        V::Store(out + (r * kPanelVectors + c) * V::kLanes, acc[r][c]);
        largest = V::Max(acc[r][c], largest);
      }
      V::Store(max + c * V::kLanes, largest);
    }
  }
};

// Adds to what was summed so far, rescaling it as it is loaded where asked to.
template <class V, int C, int kPanelVectors, bool kRescale>
struct OutputEpilogue {
  using Reg = typename V::Reg;

  float* out;              // [H, panel], at the tile's first lane.
  const float* rescaling;  // [C vectors]

  template <int R>
  void Depth(int, int64_t*, int64_t*) const {}

  template <int R>
  void Init(int row, Reg (&acc)[R][C]) const {
    const float* x = out + static_cast<int64_t>(row) * kPanelVectors * V::kLanes;
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        acc[r][c] = V::Load(x + (r * kPanelVectors + c) * V::kLanes);
        if constexpr (kRescale) acc[r][c] = V::Mul(V::Load(rescaling + c * V::kLanes), acc[r][c]);
      }
    }
  }

  template <int R>
  void Finish(int row, Reg (&acc)[R][C]) const {
    float* x = out + static_cast<int64_t>(row) * kPanelVectors * V::kLanes;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) V::Store(x + (r * kPanelVectors + c) * V::kLanes, acc[r][c]);
    }
  }
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_FORWARD_EPILOGUE_H_
