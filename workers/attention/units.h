// Units: the 32-bit operands of a tile product, and how rows in memory become them.
//
// A unit is one float32, or two bfloat16 that stand next to each other in a sum (V::kPack of them,
// the lower half first), which the processor multiplies and adds at once. Units are carried as
// floats, whose bits nothing but V's own functions looks into. A row of elements is a row of units
// already when the sum runs along it; where it runs across rows, V::kPack rows are packed.
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_UNITS_H_
#define RALLY_WORKERS_ATTENTION_UNITS_H_

#include <cstdint>

#include "workers/attention/attention_tiles.h"

namespace rally {

// Rows at a stride are too far apart for the processor to foresee.
inline constexpr int64_t kPrefetchRows = 8;

// Units from one row to the next where rows of `units` units (a multiple of a cache line's 16) are
// brought together: an odd number of lines, so that a column of them spreads over all of a cache's
// sets.
constexpr int64_t RowPitch(int64_t units) {
  constexpr int64_t kLineUnits = 16;
  return (units / kLineUnits | 1) * kLineUnits;
}

// acc + the products of two operands' units.
template <class V>
[[gnu::always_inline]] inline typename V::Reg MultiplyAdd(typename V::Reg a, typename V::Reg b,
                                                          typename V::Reg acc) {
  if constexpr (V::kPack == 1) {
    return V::Fma(a, b, acc);
  } else {
    return V::Dot(a, b, acc);
  }
}

// Every lane the unit at `p`, which may stand at any address.
template <class V>
[[gnu::always_inline]] inline typename V::Reg BroadcastUnit(const float* p) {
  float unit;
  __builtin_memcpy(&unit, p, sizeof(unit));
  return V::Broadcast(unit);
}

// Units of float32 terms next to each other in the sum, rounded where V's elements are shorter.
template <class V>
[[gnu::always_inline]] inline typename V::Reg PackTerms(const typename V::Reg (&terms)[V::kPack]) {
  if constexpr (V::kPack == 1) {
    return terms[0];
  } else {
    return V::Pack(terms[0], terms[1]);
  }
}

// Term `i` of every lane's unit, as float32.
template <class V>
inline typename V::Reg UnpackTerm(typename V::Reg units, int i) {
  if constexpr (V::kPack == 1) {
    return units;
  } else {
    return i == 0 ? V::UnpackLow(units) : V::UnpackHigh(units);
  }
}

// Term `i` of one unit in memory.
template <class V>
inline float TermAt(const float* unit, int i) {
  uint32_t bits;
  __builtin_memcpy(&bits, unit, sizeof(bits));
  if (V::kPack > 1) bits = i == 0 ? bits << 16 : bits & 0xFFFF0000u;
  float term;
  __builtin_memcpy(&term, &bits, sizeof(term));
  return term;
}

// Units needed for `terms` terms.
template <class V>
constexpr int64_t UnitsFor(int64_t terms) {
  return (terms + V::kPack - 1) / V::kPack;
}

// Rows in memory, as units along each row.
struct UnitRows {
  const float* data;
  int64_t stride;  // In units.

  UnitRows From(int64_t row) const { return {data + row * stride, stride}; }
};

// Whether a row of elements in memory is a row of units.
template <class V, class Element>
inline constexpr bool kElementsAreUnits = sizeof(Element) * V::kPack == sizeof(float);

// Copies x [rows, units] to `out`.
template <class V>
inline UnitRows GatheredUnits(const UnitRows& x, int64_t rows, int units, float* out) {
  constexpr int kLine = 64 / sizeof(float);
  const int64_t pitch = RowPitch(units);
  for (int64_t row = 0; row < rows; ++row) {
    const float* const from = x.data + row * x.stride;
    float* const to = out + row * pitch;
    for (int line = 0; line < units; line += kLine) {
      __builtin_prefetch(from + kPrefetchRows * x.stride + line);
      for (int i = 0; i < kLine; i += V::kLanes) V::Store(to + line + i, V::Load(from + line + i));
    }
  }
  return {out, pitch};
}

// Copies x [rows, columns] at `stride` to `out`, as units along each row: widened to float32 where
// V has no shorter elements.
template <class V, class Element>
inline UnitRows Gathered(const Element* x, int64_t stride, int64_t rows, int columns, float* out) {
  if constexpr (kElementsAreUnits<V, Element>) {
    return GatheredUnits<V>({reinterpret_cast<const float*>(x), stride / V::kPack}, rows,
                            columns / V::kPack, out);
  } else {
    static_assert(sizeof(Element) == 2 && V::kPack == 1);
    const int64_t pitch = RowPitch(columns);
    for (int64_t row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        uint16_t bits;
        __builtin_memcpy(&bits, x + row * stride + column, sizeof(bits));
        const uint32_t wide = static_cast<uint32_t>(bits) << 16;
        __builtin_memcpy(out + row * pitch + column, &wide, sizeof(wide));
      }
    }
    return {out, pitch};
  }
}

// x [rows, columns] at `stride` as units along each row: where it is, unless `gather` asks
// otherwise or elements are no units; else gathered in `scratch`.
template <class V, class Element>
inline UnitRows AsUnits(const Element* x, int64_t stride, int64_t rows, int columns, bool gather,
                        float* scratch) {
  if constexpr (kElementsAreUnits<V, Element>) {
    if (!gather) return {reinterpret_cast<const float*>(x), stride / V::kPack};
  }
  return Gathered<V>(x, stride, rows, columns, scratch);
}

// x [rows, columns of elements], units along each row, as units across rows [units of rows,
// columns]: x itself, or packed in `scratch`, with zeros where a last row has no partner.
template <class V>
inline UnitRows AcrossRows(const UnitRows& x, int64_t rows, int columns, float* scratch) {
  if constexpr (V::kPack == 1) {
    return x;
  } else {
    const int64_t pitch = RowPitch(columns);
    for (int64_t row = 0; row < rows; row += V::kPack) {
      const float* const low = x.data + row * x.stride;
      const float* const high = rows - row > 1 ? low + x.stride : nullptr;
      float* const to = scratch + row / V::kPack * pitch;
      for (int column = 0; column < columns; column += V::kLanes) {
        __builtin_prefetch(low + kPrefetchRows * x.stride + column / V::kPack);
        __builtin_prefetch(low + (kPrefetchRows + 1) * x.stride + column / V::kPack);
        V::Store(to + column, V::LoadPacked(low, high, column));
      }
    }
    return {scratch, pitch};
  }
}

// Whether no term of x [rows, columns of units] is NaN or infinite. `columns` is a multiple of two
// vectors.
template <class V>
inline bool AllFinite(const UnitRows& x, int64_t rows, int columns) {
  using Reg = typename V::Reg;
  Reg sum[2] = {V::Broadcast(0.0f), V::Broadcast(0.0f)};
  for (int64_t row = 0; row < rows; ++row) {
    const float* units = x.data + row * x.stride;
    for (int column = 0; column < columns; column += 2 * V::kLanes) {
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < V::kPack; ++i) {
          const Reg term = UnpackTerm<V>(V::Load(units + column + half * V::kLanes), i);
          sum[half] = V::Add(sum[half], V::Sub(term, term));  // 0, or NaN for ever.
        }
      }
    }
  }
  float lanes[V::kLanes];
  V::Store(lanes, V::Add(sum[0], sum[1]));
  bool finite = true;
  for (const float lane : lanes) finite = finite && lane == 0.0f;
  return finite;
}

// Zeros in place of terms of x [rows, columns of units], at RowPitch, that are NaN or infinite.
template <class V>
inline void ClearUnfinite(int64_t rows, int columns, float* x) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      float* const unit = x + row * RowPitch(columns) + column;
      uint32_t bits;
      __builtin_memcpy(&bits, unit, sizeof(bits));
      for (int i = 0; i < V::kPack; ++i) {
        const float term = TermAt<V>(unit, i);
        if (term - term == 0.0f) continue;
        bits &= V::kPack == 1 ? 0 : i == 0 ? 0xFFFF0000u : 0x0000FFFFu;
      }
      __builtin_memcpy(unit, &bits, sizeof(bits));
    }
  }
}

// Copies x [rows, columns of units] to out [columns, lanes] at `pitch`, rows in the lanes; lanes
// past `rows` get zeros. `columns` is a multiple of the lanes.
template <class V>
inline void TransposeRows(const UnitRows& x, int64_t rows, int columns, float* out, int64_t pitch) {
  using Reg = typename V::Reg;
  for (int column = 0; column < columns; column += V::kLanes) {
    Reg square[V::kLanes];
#pragma GCC unroll 16
    for (int r = 0; r < V::kLanes; ++r) {
      square[r] = r < rows ? V::Load(x.data + r * x.stride + column) : V::Broadcast(0.0f);
    }
    V::Transpose(square);
#pragma GCC unroll 16
    for (int r = 0; r < V::kLanes; ++r) V::Store(out + (column + r) * pitch, square[r]);
  }
}

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_UNITS_H_
