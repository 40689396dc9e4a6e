// ForwardKeys: one block of keys and values, as the forward tile's products read them.
//
// Keys are units along their rows. Values are summed over keys, so that V::kPack rows of them make
// one row of units; a last row that has no partner gets zeros.
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_FORWARD_KEYS_H_
#define RALLY_WORKERS_ATTENTION_FORWARD_KEYS_H_

#include <cstdint>

#include "workers/attention/attention_tiles.h"
#include "workers/attention/units.h"

namespace rally {

template <class V, class Element>
class ForwardKeys {
  // What one way of a first-level cache holds: a page, on all processors we know.
  static constexpr int64_t kSetsBytes = 4096;

 public:
  // What Load needs for blocks of `keys` keys, an even number.
  static int64_t Floats(int64_t keys, int64_t head_dim) { return 2 * keys * head_dim; }

  // Keys [begin, end) of the tile. Rows in memory are read where they are, but brought together in
  // `memory` where that pays: when they would contend for the same sets of the first-level cache
  // and several panels will read them.
  void Load(const ForwardTile& tile, int64_t begin, int64_t end, bool several_panels,
            float* memory) {
    const int64_t rows = end - begin;
    const int64_t stride = tile.kv_stride;
    const Element* const k = static_cast<const Element*>(tile.k) + begin * stride;
    const Element* const v = static_cast<const Element*>(tile.v) + begin * stride;
    float* const v_memory = memory + rows * tile.head_dim;
    const bool copy = several_panels && stride * sizeof(Element) % kSetsBytes == 0;
    k_ = AsUnits<V>(k, stride, rows, tile.head_dim, memory);
    v_ = AsUnits<V>(v, stride, rows, tile.head_dim, v_memory);
    if (copy && k_.data != memory) k_ = Packed<1>(k_, rows, tile.head_dim / V::kPack, memory);
    if ((copy && v_.data != v_memory) || V::kPack > 1) {
      v_ = Packed<V::kPack>(v_, rows, tile.head_dim, v_memory);
    }
    const TileMask& mask = tile.mask;
    const bool masked =
        end - 1 > mask.diagonal || begin <= tile.rows - 1 + mask.diagonal - mask.window;
    values_finite_ = !masked || AllFinite<V>(v_, UnitsFor<V>(rows), tile.head_dim);
  }

  // Asks for keys [begin, end) of the tile to be brought into the second-level cache.
  void Prefetch(const ForwardTile& tile, int64_t begin, int64_t end) const {
    constexpr int kLine = 64 / sizeof(Element);
    for (int64_t row = begin; row < end; ++row) {
      const Element* k = static_cast<const Element*>(tile.k) + row * tile.kv_stride;
      const Element* v = static_cast<const Element*>(tile.v) + row * tile.kv_stride;
      for (int column = 0; column < tile.head_dim; column += kLine) {
        __builtin_prefetch(k + column, 0, 2);
        __builtin_prefetch(v + column, 0, 2);
      }
    }
  }

  const UnitRows& k() const { return k_; }  // [keys, units of H]
  const UnitRows& v() const { return v_; }  // [units of keys, H]
  // True also when no pair of the block is masked: then nobody asks.
  bool values_finite() const { return values_finite_; }

 private:
  // Copies x [rows, columns], kRows rows to a unit; kRows is 1 or V::kPack.
  template <int kRows>
  static UnitRows Packed(const UnitRows& x, int64_t rows, int columns, float* out) {
    for (int64_t row = 0; row < rows; row += kRows) {
      const UnitRows from = {x.data + row * x.stride, x.stride};
      float* to = out + row / kRows * columns;
      for (int column = 0; column < columns; column += V::kLanes) {
        if (row + kPrefetchRows < rows) {
          for (int i = 0; i < kRows; ++i) {
            __builtin_prefetch(from.data + (kPrefetchRows + i) * x.stride + column / kRows);
          }
        }
        if constexpr (kRows == 1) {
          V::Store(to + column, V::Load(from.data + column));
        } else {
          V::Store(to + column, LoadAcross<V>(from, rows - row, column));
        }
      }
    }
    return {out, columns};
  }

  UnitRows k_ = {nullptr, 0};
  UnitRows v_ = {nullptr, 0};
  bool values_finite_ = true;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_FORWARD_KEYS_H_
