#include "workers/model/row_operations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr int64_t kWidths[] = {1, 2, 3, 7, 16, 31, 33, 100, 513, 1000};
constexpr double kLeastNormal = 0x1p-126;

// A type of row: how its numbers are stored, and how exact they are.
struct Float32Rows {
  using Real = float;
  using Element = float;
  static constexpr RowType kType = RowType::kFloat32;
  static constexpr double kUnit = 0x1p-24;  // Relative error of one float operation.
  static constexpr double kRounding = 0.0;  // Of a stored element, beside that.
  static float Round(double x) { return static_cast<float>(x); }
  static double Value(float x) { return x; }
};

struct Bfloat16Rows {
  using Real = float;
  using Element = uint16_t;
  static constexpr RowType kType = RowType::kBfloat16;
  static constexpr double kUnit = 0x1p-24;
  static constexpr double kRounding = 0x1p-8;
  static uint16_t Round(double x) {  // Towards zero: any bfloat16 near x will do.
    const float narrow = static_cast<float>(x);
    uint32_t bits = 0;
    std::memcpy(&bits, &narrow, sizeof(bits));
    return static_cast<uint16_t>(bits >> 16);
  }
  static double Value(uint16_t x) {
    const uint32_t bits = uint32_t{x} << 16;
    float value = 0.0f;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
};

struct Float64Rows {
  using Real = double;
  using Element = double;
  static constexpr RowType kType = RowType::kFloat64;
  static constexpr double kUnit = 0x1p-53;
  static constexpr double kRounding = 0.0;
  static double Round(double x) { return x; }
  static double Value(double x) { return x; }
};

template <class Rows>
class RowOperationsTest : public testing::Test {
 protected:
  using Real = typename Rows::Real;
  using Element = typename Rows::Element;

  // Calls `check` with the operations of every instruction set that this CPU has.
  template <class Check>
  void ForEverySet(const Check& check) {
    for (const RowOperationSet* set : AvailableRowOperations()) {
      SCOPED_TRACE(set->name);
      check(set->of[static_cast<int>(Rows::kType)]);
    }
  }

  std::vector<Real> Reals(int64_t count) {
    std::vector<Real> values(static_cast<size_t>(count));
    for (Real& value : values) value = static_cast<Real>(normal_(random_));
    return values;
  }
  std::vector<Element> Elements(int64_t count, double size = 1.0) {
    std::vector<Element> values(static_cast<size_t>(count));
    for (Element& value : values) value = Rows::Round(size * normal_(random_));
    return values;
  }
  // With room for one more, which must stay as it is.
  static std::vector<Element> Room(int64_t count) {
    return std::vector<Element>(static_cast<size_t>(count) + 1, kUntouched);
  }

  static void ExpectUntouchedEnd(const std::vector<Element>& values) {
    EXPECT_EQ(values.back(), kUntouched);
  }
  // `error` is of float operations alone.
  static void ExpectElement(Element actual, double expected, double error) {
    EXPECT_NEAR(Rows::Value(actual), expected,
                error + Rows::kRounding * (std::abs(expected) + error));
  }

  static constexpr Element kUntouched = 7;

 private:
  std::mt19937 random_{1};
  std::normal_distribution<double> normal_;
};

using EveryRows = testing::Types<Float32Rows, Bfloat16Rows, Float64Rows>;
TYPED_TEST_SUITE(RowOperationsTest, EveryRows);

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// Gates from where exp ends on one side to where it ends on the other, and beyond.
template <class Rows>
std::vector<typename Rows::Element> EveryGate(int64_t count) {
  std::vector<typename Rows::Element> gates;
  for (int64_t i = 0; i < count; ++i) {
    gates.push_back(Rows::Round(200.0 * static_cast<double>(i) / static_cast<double>(count) - 100));
  }
  return gates;
}

TYPED_TEST(RowOperationsTest, SwiGluIsTheFormula) {
  for (const int64_t count : {1, 2, 3, 7, 16, 31, 33, 100, 513, 4099}) {
    const auto gate = count > 1000 ? EveryGate<TypeParam>(count) : this->Elements(count, 3.0);
    const auto up = this->Elements(count);
    this->ForEverySet([&](const RowOperations& operations) {
      auto y = this->Room(count);
      operations.swiglu(count, gate.data(), up.data(), y.data());
      for (size_t i = 0; i < gate.size(); ++i) {
        const double g = TypeParam::Value(gate[i]);
        const double u = TypeParam::Value(up[i]);
        const double expected = g * Sigmoid(g) * u;
        // An exponential to 1.3 ulp, which is 2.6 units, a sum, a quotient, two products; the
        // exponential ends below e^88.4.
        this->ExpectElement(y[i], expected,
                            7 * TypeParam::kUnit * std::abs(expected) + std::abs(g * u) * 1e-38);
      }
      this->ExpectUntouchedEnd(y);
    });
  }
}

TYPED_TEST(RowOperationsTest, SwiGluBackwardIsTheDerivative) {
  for (const int64_t count : {1, 2, 3, 7, 16, 31, 33, 100, 513, 4099}) {
    const auto gate = count > 1000 ? EveryGate<TypeParam>(count) : this->Elements(count, 3.0);
    const auto up = this->Elements(count);
    const auto dy = this->Elements(count);
    this->ForEverySet([&](const RowOperations& operations) {
      auto d_gate = this->Room(count);
      auto d_up = this->Room(count);
      operations.swiglu_backward(count, gate.data(), up.data(), dy.data(), d_gate.data(),
                                 d_up.data());
      for (size_t i = 0; i < gate.size(); ++i) {
        const double g = TypeParam::Value(gate[i]);
        const double u = TypeParam::Value(up[i]);
        const double d = TypeParam::Value(dy[i]);
        const double s = Sigmoid(g);
        const double slope = 1.0 + g * (1.0 - s);
        // As above; 1 - s is as exact as s, and g times that.
        const double unit = TypeParam::kUnit * std::abs(d) * s;
        const double end = 1e-38 * std::abs(d * g);
        this->ExpectElement(d_up[i], d * g * s, 7 * unit * std::abs(g) + end);
        this->ExpectElement(d_gate[i], d * u * s * slope,
                            unit * std::abs(u) * (8 * std::abs(slope) + 7 * std::abs(g) + 1) +
                                end * std::abs(u * g));
      }
      this->ExpectUntouchedEnd(d_gate);
      this->ExpectUntouchedEnd(d_up);
    });
  }
}

TYPED_TEST(RowOperationsTest, NormIsTheFormula) {
  constexpr int64_t kRows = 3;
  for (const int64_t width : kWidths) {
    const auto x = this->Reals(kRows * width);
    const auto w = this->Reals(width);
    this->ForEverySet([&](const RowOperations& operations) {
      std::vector<typename TypeParam::Real> scales(kRows);
      auto y = this->Room(kRows * width);
      operations.norm(kRows, width, x.data(), w.data(), 1e-5, scales.data(), y.data());
      for (int64_t row = 0; row < kRows; ++row) {
        double sum = 0.0;
        for (int64_t i = 0; i < width; ++i) sum += std::pow(x[row * width + i], 2);
        const double scale = 1.0 / std::sqrt(sum / static_cast<double>(width) + 1e-5);
        // A sum of squares is off by as many units as it has terms, its square root by half.
        const double error = TypeParam::kUnit * (0.5 * static_cast<double>(width) + 5);
        EXPECT_NEAR(scales[row], scale, error * scale);
        for (int64_t i = 0; i < width; ++i) {
          const double expected = x[row * width + i] * scale * w[i];
          this->ExpectElement(y[row * width + i], expected, error * std::abs(expected));
        }
      }
      this->ExpectUntouchedEnd(y);
    });
  }
}

TYPED_TEST(RowOperationsTest, NormBackwardIsTheDerivative) {
  using Real = typename TypeParam::Real;
  constexpr int64_t kRows = 3;
  for (const int64_t width : kWidths) {
    const auto x = this->Reals(kRows * width);
    const auto w = this->Reals(width);
    const auto dy = this->Elements(kRows * width);
    const std::vector<Real> scales = {Real{0.5}, Real{1.25}, Real{2}};
    const auto before = this->Reals(width);
    this->ForEverySet([&](const RowOperations& operations) {
      std::vector<Real> dx(x.size());
      std::vector<Real> dw = before;
      operations.norm_backward(kRows, width, x.data(), w.data(), scales.data(), dy.data(),
                               dx.data(), dw.data());
      std::vector<double> dw_expected(before.begin(), before.end());
      std::vector<double> dw_size(before.size());
      const double error = TypeParam::kUnit * static_cast<double>(width + 8);
      for (int64_t row = 0; row < kRows; ++row) {
        const double scale = scales[row];
        double along = 0.0;
        double along_size = 0.0;
        const double share = scale * scale / static_cast<double>(width);
        for (int64_t i = 0; i < width; ++i) {
          const double g = TypeParam::Value(dy[row * width + i]);
          along += share * g * w[i] * x[row * width + i];
          along_size += share * std::abs(g * w[i] * x[row * width + i]);
          dw_expected[i] += g * x[row * width + i] * scale;
          dw_size[i] += std::abs(g * x[row * width + i] * scale) + std::abs(before[i]);
        }
        for (int64_t i = 0; i < width; ++i) {
          const double g = TypeParam::Value(dy[row * width + i]);
          const double x_i = x[row * width + i];
          EXPECT_NEAR(dx[row * width + i], scale * (g * w[i] - along * x_i),
                      error * scale * (std::abs(g * w[i]) + along_size * std::abs(x_i)));
        }
      }
      for (int64_t i = 0; i < width; ++i) {
        EXPECT_NEAR(dw[i], dw_expected[i], (2 + kRows) * TypeParam::kUnit * dw_size[i]);
      }
    });
  }
}

TYPED_TEST(RowOperationsTest, TurnIsARotationOfEveryPair) {
  using Real = typename TypeParam::Real;
  constexpr int64_t kRows = 3;
  constexpr int64_t kHeads = 2;
  for (const int64_t pairs : {1, 3, 16, 33, 64}) {
    const auto x = this->Reals(kRows * kHeads * 2 * pairs);
    const auto cosine = this->Reals(kRows * pairs);
    const auto sine = this->Reals(kRows * pairs);
    this->ForEverySet([&](const RowOperations& operations) {
      for (const bool backwards : {false, true}) {
        std::vector<Real> y(x.size());
        operations.turn(kRows, kHeads, pairs, cosine.data(), sine.data(), backwards, x.data(),
                        y.data());
        for (int64_t i = 0; i < kRows * kHeads * pairs; ++i) {
          const int64_t row = i / (kHeads * pairs);
          const int64_t first = i / pairs * 2 * pairs + i % pairs;
          const double c = cosine[row * pairs + i % pairs];
          const double s = (backwards ? -1.0 : 1.0) * sine[row * pairs + i % pairs];
          const double a = x[first];
          const double b = x[first + pairs];
          // Two products and a sum.
          EXPECT_NEAR(y[first], a * c - b * s,
                      2 * TypeParam::kUnit * (std::abs(a * c) + std::abs(b * s)));
          EXPECT_NEAR(y[first + pairs], b * c + a * s,
                      2 * TypeParam::kUnit * (std::abs(b * c) + std::abs(a * s)));
        }
      }
    });
  }
}

// Compares loss and gradient of one row to the formula in double.
template <class Rows>
void CheckCrossEntropy(const RowOperations& operations,
                       const std::vector<typename Rows::Real>& logits, int64_t target) {
  const auto width = static_cast<int64_t>(logits.size());
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  auto scratch = logits;
  std::vector<typename Rows::Element> gradient(logits.size());
  const double loss = operations.cross_entropy(width, scratch.data(), target, gradient.data());
  // Blocks of at most 512 terms, each an exponential to 2.6 units of an argument to one.
  const double sum_error = Rows::kUnit * (512 + 3 + 1);
  EXPECT_NEAR(loss, std::log(sum) + largest - logits[target], sum_error + 0x1p-40);
  for (int64_t i = 0; i < width; ++i) {
    const double argument = logits[i] - largest;
    const double p = std::exp(argument) / sum;
    const double unit = Rows::kUnit * (5 + std::abs(argument));
    const double error = std::isinf(argument) ? 0.0 : p * (sum_error + unit) + kLeastNormal;
    const double expected = i == target ? p - 1.0 : p;
    EXPECT_NEAR(Rows::Value(gradient[i]), expected,
                error + (Rows::kRounding + Rows::kUnit) * (std::abs(expected) + error));
  }
  scratch = logits;
  EXPECT_EQ(operations.cross_entropy(width, scratch.data(), target, nullptr), loss);
  if constexpr (std::is_same_v<typename Rows::Element, typename Rows::Real>) {
    auto in_place = logits;
    operations.cross_entropy(width, in_place.data(), target, in_place.data());
    EXPECT_EQ(in_place, gradient);
  }
}

TYPED_TEST(RowOperationsTest, CrossEntropyIsTheFormula) {
  for (const int64_t width : kWidths) {
    const auto logits = this->Reals(width);
    this->ForEverySet([&](const RowOperations& operations) {
      for (const int64_t target : {int64_t{0}, width / 2, width - 1}) {
        CheckCrossEntropy<TypeParam>(operations, logits, target);
      }
    });
  }
}

TYPED_TEST(RowOperationsTest, CrossEntropyOfEveryExponent) {
  using Real = typename TypeParam::Real;
  std::vector<Real> logits;
  for (int i = 0; i <= 5000; ++i) logits.push_back(static_cast<Real>(1.0 - i * 0.02));
  logits.push_back(-std::numeric_limits<Real>::infinity());  // Has no part in it.
  logits.push_back(std::numeric_limits<Real>::lowest() / 2);
  this->ForEverySet([&](const RowOperations& operations) {
    for (const int64_t target : {0, 1000, 4500}) {
      CheckCrossEntropy<TypeParam>(operations, logits, target);
    }
    for (const int64_t place : {0, 77, 2000, 3000, 4000, 5002}) {
      std::vector<Real> large = logits;
      large[place] = std::numeric_limits<Real>::max() / 2;
      CheckCrossEntropy<TypeParam>(operations, large, place);
    }
  });
}

TYPED_TEST(RowOperationsTest, NanStaysInItsRow) {
  using Real = typename TypeParam::Real;
  constexpr int64_t kWidth = 100;
  // All digits set: rounding must not carry out of them.
  const Real nan = sizeof(Real) == 4 ? std::nanf("0x3fffff") : std::nan("0xfffffffffffff");
  const auto w = this->Reals(kWidth);
  const auto is_nan = [](typename TypeParam::Element x) { return std::isnan(TypeParam::Value(x)); };
  for (const int64_t place : {0, 17, 99}) {
    auto x = this->Reals(2 * kWidth);
    x[place] = nan;
    auto gate = this->Elements(kWidth);
    gate[place] = TypeParam::Round(nan);
    const auto up = this->Elements(kWidth);
    this->ForEverySet([&](const RowOperations& operations) {
      Real scales[2];
      auto y = this->Elements(2 * kWidth);
      operations.norm(2, kWidth, x.data(), w.data(), 1e-5, scales, y.data());
      EXPECT_EQ(std::count_if(y.begin(), y.begin() + kWidth, is_nan), kWidth);
      EXPECT_EQ(std::count_if(y.begin() + kWidth, y.end(), is_nan), 0);

      auto d_gate = this->Elements(kWidth);
      auto d_up = this->Elements(kWidth);
      operations.swiglu(kWidth, gate.data(), up.data(), y.data());
      operations.swiglu_backward(kWidth, gate.data(), up.data(), up.data(), d_gate.data(),
                                 d_up.data());
      for (const auto* values : {&y, &d_gate, &d_up}) {
        EXPECT_TRUE(is_nan((*values)[place]));
        EXPECT_EQ(std::count_if(values->begin(), values->begin() + kWidth, is_nan), 1);
      }

      auto logits = x;
      EXPECT_TRUE(std::isnan(operations.cross_entropy(kWidth, logits.data(), 5, y.data())));
      EXPECT_EQ(std::count_if(y.begin(), y.begin() + kWidth, is_nan), kWidth);
    });
  }
}

TEST(RowOperationsBfloat16, RoundsToNearestEven) {
  struct Case {
    uint16_t gate;  // So large that its silu is itself: y is the exact product, rounded once.
    uint16_t up;
    uint16_t y;
  };
  constexpr Case kCases[] = {{0x4301, 0x3fc0, 0x4342},   // 129 * 1.5 = 193.5, to 194.
                             {0x4301, 0xbfc0, 0xc342},   // Its negative.
                             {0x4303, 0x3fc0, 0x4344},   // 131 * 1.5 = 196.5, to 196.
                             {0x4301, 0x3fc1, 0x4343},   // 194.508, to 195.
                             {0x4301, 0x7f00, 0x7f80},   // Beyond float: infinity.
                             {0x4301, 0x7f80, 0x7f80}};  // Infinity.
  for (const RowOperationSet* set : AvailableRowOperations()) {
    SCOPED_TRACE(set->name);
    for (const Case& c : kCases) {
      // Enough of them for vectors and for what is left over.
      const std::vector<uint16_t> gate(67, c.gate);
      const std::vector<uint16_t> up(67, c.up);
      std::vector<uint16_t> y(67);
      set->of[static_cast<int>(RowType::kBfloat16)].swiglu(67, gate.data(), up.data(), y.data());
      EXPECT_EQ(y, std::vector<uint16_t>(67, c.y));
    }
  }
}

}  // namespace
}  // namespace rally
