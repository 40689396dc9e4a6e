// VectorPortable: four float lanes in the compiler's own vector type, for any processor.
//
// A vector type is what the tiles are written over; each instruction set has one of this form,
// included only by the source that is compiled for it. The templates of tile_product.h,
// units.h, forward_tile.h and backward_tile.h take it as argument, so that each instruction set's
// code is a distinct entity to the linker. For the same reason these files use no inline function
// of the standard library: the linker might pick the copy compiled for a processor we do not run
// on.
#ifndef RALLY_WORKERS_ATTENTION_VECTOR_PORTABLE_H_
#define RALLY_WORKERS_ATTENTION_VECTOR_PORTABLE_H_

#include <cstdint>

#include "workers/attention/exp2_polynomial.h"

namespace rally {

struct VectorPortable {
  typedef float Reg __attribute__((vector_size(16)));
  typedef int32_t Int __attribute__((vector_size(16)));

  static constexpr int kLanes = 4;
  static constexpr int kPack = 1;  // Elements to a unit of a product: see units.h.
  // Vectors side by side in a product tile, and rows of a tile that is that wide (0: not used).
  static constexpr int kMaxVectors = 2;
  static constexpr int kTileRows[] = {0, 8, 6};

  static Reg Load(const float* p) {
    Reg x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  static void Store(float* p, Reg x) { __builtin_memcpy(p, &x, sizeof(x)); }
  static Reg Broadcast(float x) { return Reg{x, x, x, x}; }
  // A constant of a loop, kept in a register where there are enough of them.
  static Reg Constant(float x) { return Broadcast(x); }
  static Reg Add(Reg a, Reg b) { return a + b; }
  static Reg Sub(Reg a, Reg b) { return a - b; }
  static Reg Mul(Reg a, Reg b) { return a * b; }
  // a * b + c
  static Reg Fma(Reg a, Reg b, Reg c) { return a * b + c; }
  // `b` when either is NaN, as in Min.
  static Reg Max(Reg a, Reg b) { return a > b ? a : b; }
  static Reg Min(Reg a, Reg b) { return a < b ? a : b; }
  // `x` where lo <= lane < hi, `otherwise` elsewhere.
  static Reg Keep(float lo, float hi, Reg lane, Reg x, Reg otherwise) {
    return (lane >= Broadcast(lo)) & (lane < Broadcast(hi)) ? x : otherwise;
  }
  static Reg LaneNumbers() { return Reg{0, 1, 2, 3}; }

  // 2^x of x <= 0 to 1.5e-7 relative; 0 for x < -126, so exactly 0 for -infinity; NaN stays NaN.
  static Reg Exp2(const Exp2Polynomial<VectorPortable>& polynomial, Reg x) {
    const Reg low = Broadcast(-127.0f);
    x = x < low ? low : x;
    Int whole = __builtin_convertvector(x, Int);  // Towards zero; any integer for NaN.
    Reg floor = __builtin_convertvector(whole, Reg);
    const Int above = floor > x;  // -1 where the floor is one lower.
    whole += above;
    floor = __builtin_convertvector(whole, Reg);
    const Int power = (whole + 127) << 23;
    return polynomial(x - floor) * (Reg)power;
  }

  // Of the square x[lane][lane], in place.
  static void Transpose(Reg (&x)[kLanes]) {
    const Reg a = __builtin_shuffle(x[0], x[1], Int{0, 4, 1, 5});
    const Reg b = __builtin_shuffle(x[0], x[1], Int{2, 6, 3, 7});
    const Reg c = __builtin_shuffle(x[2], x[3], Int{0, 4, 1, 5});
    const Reg d = __builtin_shuffle(x[2], x[3], Int{2, 6, 3, 7});
    x[0] = __builtin_shuffle(a, c, Int{0, 1, 4, 5});
    x[1] = __builtin_shuffle(a, c, Int{2, 3, 6, 7});
    x[2] = __builtin_shuffle(b, d, Int{0, 1, 4, 5});
    x[3] = __builtin_shuffle(b, d, Int{2, 3, 6, 7});
  }
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_VECTOR_PORTABLE_H_
