// Products of bfloat16 matrices, by whatever this CPU has and by float32, beside double precision.
#include "workers/model/matmul.h"

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr int64_t kM = 7, kK = 33, kN = 19;

float Wide(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

// Values in [-1, 1], as bfloat16 cut off: what is tested is what comes of them.
std::vector<uint16_t> Values(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<uint16_t> values(static_cast<size_t>(count));
  for (uint16_t& value : values) {
    value = static_cast<uint16_t>(std::bit_cast<uint32_t>(uniform(random)) >> 16);
  }
  return values;
}

using Multiply = void (*)(const MatrixView&, const MatrixView&, const MatrixView&, bool);

// Checks c and its rounding for both memory orders of the factors.
void Check(Multiply multiply, bool transposed, ElementType out, bool accumulate) {
  std::vector<uint16_t> a = Values(kM * kK, 1);
  std::vector<uint16_t> b = Values(kK * kN, 2);
  std::vector<uint16_t> c16 = Values(kM * kN, 3);
  std::vector<float> c32;
  for (const uint16_t value : c16) c32.push_back(Wide(value));
  const std::vector<float> before = c32;
  const bool narrow = out == ElementType::kBfloat16;
  void* c = narrow ? static_cast<void*>(c16.data()) : c32.data();
  multiply({a.data(), ElementType::kBfloat16, kM, kK, transposed},
           {b.data(), ElementType::kBfloat16, kK, kN, transposed}, {c, out, kM, kN, false},
           accumulate);
  for (int64_t i = 0; i < kM; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      double sum = accumulate ? before[i * kN + j] : 0.0;
      double magnitude = std::abs(sum);
      for (int64_t k = 0; k < kK; ++k) {
        const double term = static_cast<double>(Wide(a[transposed ? k * kM + i : i * kK + k])) *
                            Wide(b[transposed ? j * kK + k : k * kN + j]);
        sum += term;
        magnitude += std::abs(term);
      }
      // One float32 rounding for each term; then that to bfloat16, half a unit of 2^-7.
      const double allowed =
          magnitude * (kK + 1) * 0x1p-24 + (narrow ? std::abs(sum) * 0x1p-8 : 0.0);
      const double found = narrow ? Wide(c16[i * kN + j]) : c32[i * kN + j];
      EXPECT_NEAR(found, sum, allowed) << i << ", " << j;
    }
  }
}

TEST(MatMulTest, Bfloat16ByThisCpuAndByFloat32) {
  for (const Multiply multiply : {&MatMul, &MatMulInFloat32}) {
    for (const bool transposed : {false, true}) {
      for (const bool accumulate : {false, true}) {
        Check(multiply, transposed, ElementType::kFloat32, accumulate);
      }
      Check(multiply, transposed, ElementType::kBfloat16, /*accumulate=*/false);
    }
  }
}

TEST(MatMulTest, RoundsToNearestEvenAndKeepsWhatIsNoNumber) {
  const std::vector<float> inputs = {1.0f + 0x1p-8f, 1.0f + 0x1.8p-7f, 1.0f + 0x1.002p-8f,
                                     std::nanf(""), INFINITY};
  const std::vector<float> expected = {1.0f, 1.0f + 0x1p-6f, 1.0f + 0x1p-7f, std::nanf(""),
                                       INFINITY};
  for (size_t i = 0; i < inputs.size(); ++i) {
    float a = inputs[i];
    float one = 1.0f;
    uint16_t c = 0;
    MatMulInFloat32({&a, ElementType::kFloat32, 1, 1, false},
                    {&one, ElementType::kFloat32, 1, 1, false},
                    {&c, ElementType::kBfloat16, 1, 1, false}, false);
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(Wide(c)));
    } else {
      EXPECT_EQ(Wide(c), expected[i]) << i;
    }
  }
}

}  // namespace
}  // namespace rally
