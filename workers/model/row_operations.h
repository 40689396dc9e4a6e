// RowOperations: what a model worker does row by row, each in one pass over memory.
//
// Plain loops over raw pointers, compiled for several instruction sets; the best one that this CPU
// and its operating system have is chosen at run time. Rows are contiguous. The caller owns all
// memory and splits rows over threads: functions are pure and thread-safe, and every sum is within
// a row, in an order that depends on the row's width and the instruction set alone. NaN passes
// through to the row it is in, and no other.
//
// By type of row: kFloat32 computes in float32; kBfloat16 does too, and elements marked E, which
// meet matrix products, are bfloat16 (the upper half of a float32), rounded once, to nearest even.
// kFloat64, for tests, is double throughout. Everything else that is void is float32, or double
// with kFloat64.
#ifndef RALLY_WORKERS_MODEL_ROW_OPERATIONS_H_
#define RALLY_WORKERS_MODEL_ROW_OPERATIONS_H_

#include <cstdint>
#include <vector>

namespace rally {

enum class RowType : uint8_t { kFloat32 = 0, kBfloat16, kFloat64 };

struct RowOperations {
  // y = x * scale * w, scale = 1 / sqrt(mean(x^2) + epsilon): x [rows, width], w [width],
  // scale [rows] and y [rows, width] E are written.
  void (*norm)(int64_t rows, int64_t width, const void* x, const void* w, double epsilon,
               void* scale, void* y);
  // Of norm's x, w and scale, and dy [rows, width] E: dx is written, dw [width] is added to.
  void (*norm_backward)(int64_t rows, int64_t width, const void* x, const void* w,
                        const void* scale, const void* dy, void* dx, void* dw);

  // Turns element i and i + pairs of every head by an angle: x and y [rows, heads, 2 * pairs],
  // cosine and sine [rows, pairs]; y is written.
  void (*turn)(int64_t rows, int64_t heads, int64_t pairs, const void* cosine, const void* sine,
               bool backwards, const void* x, void* y);

  // y = silu(gate) * up, all [count] E; y is written.
  void (*swiglu)(int64_t count, const void* gate, const void* up, void* y);
  void (*swiglu_backward)(int64_t count, const void* gate, const void* up, const void* dy,
                          void* d_gate, void* d_up);

  // -log softmax(logits)[target] of one row of logits [width], width >= 1, 0 <= target < width;
  // its gradient [width] E is written unless null. The logits are overwritten; the gradient may be
  // in their place where both have one type.
  double (*cross_entropy)(int64_t width, void* logits, int64_t target, void* gradient);
};

// What one instruction set has.
struct RowOperationSet {
  const char* name;     // "portable", "avx2" or "avx512".
  RowOperations of[3];  // By RowType.
};

// All that this CPU can run, the best last.
std::vector<const RowOperationSet*> AvailableRowOperations();

// Of the best.
const RowOperations& RowOperationsFor(RowType type);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_ROW_OPERATIONS_H_
