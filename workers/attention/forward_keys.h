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

  // Rows as long as an eighth of that leave their columns so few sets that as many panels repay a
  // copy, whatever the stride.
  static constexpr int64_t kLongRowBytes = 512;
  static constexpr int kManyPanels = 12;

 public:
  // What Load needs for blocks of `keys` keys, an even number.
  static int64_t Floats(int64_t keys, int64_t head_dim) { return 2 * keys * RowPitch(head_dim); }

  // Keys [begin, end) of the tile, which `panels` panels will read. They are read where they are in
  // memory, or brought together in `memory` where that pays: for several panels when rows would
  // contend for the same sets of the first-level cache, for many when rows are long.
  void Load(const ForwardTile& tile, int64_t begin, int64_t end, int panels, float* memory) {
    const int64_t rows = end - begin;
    const int64_t stride = tile.kv_stride;
    const Element* const k = static_cast<const Element*>(tile.k) + begin * stride;
    const Element* const v = static_cast<const Element*>(tile.v) + begin * stride;
    float* const v_memory = memory + rows * RowPitch(tile.head_dim);
    const bool contend = stride * sizeof(Element) % kSetsBytes == 0;
    const bool is_long = tile.head_dim * sizeof(Element) >= kLongRowBytes;
    const bool gather = (contend && panels > 1) || (is_long && panels >= kManyPanels);
    k_ = AsUnits<V>(k, stride, rows, tile.head_dim, gather, memory);
    // Packing brings them together in any case.
    v_ =
        AcrossRows<V>(AsUnits<V>(v, stride, rows, tile.head_dim, gather && V::kPack == 1, v_memory),
                      rows, tile.head_dim, v_memory);
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
  UnitRows k_ = {nullptr, 0};
  UnitRows v_ = {nullptr, 0};
  bool values_finite_ = true;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_FORWARD_KEYS_H_
