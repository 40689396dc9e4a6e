#include "workers/model/layers.h"

#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "workers/model/head_loss.h"
#include "workers/model/tensor_matmul.h"

namespace rally {
namespace {

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// Hugging Face's apply_rotary_pos_emb, word for word in tensors.
at::Tensor HuggingFaceRope(const at::Tensor& x_TNH, const at::Tensor& position_T, double theta) {
  const int64_t H = x_TNH.size(2);
  const at::Tensor inverse_frequency =
      1.0 / at::pow(theta, at::arange(0, H, 2, at::kDouble) / static_cast<double>(H));
  const at::Tensor half = position_T.to(at::kDouble).unsqueeze(1) * inverse_frequency.unsqueeze(0);
  const at::Tensor angle = at::cat({half, half}, -1).unsqueeze(1);
  const at::Tensor rotated =
      at::cat({-x_TNH.narrow(2, H / 2, H / 2), x_TNH.narrow(2, 0, H / 2)}, -1);
  return x_TNH * angle.cos() + rotated * angle.sin();
}

TEST(Rope, IsHuggingFaces) {
  const at::Tensor x_TNH = at::randn({5, 3, 32}, at::kDouble);
  const at::Tensor position_T = at::tensor({0, 1, 2, 77, 100000}, at::kLong);
  const RopeTable table = MakeRopeTable(position_T, 32, 10000.0, at::kDouble);
  // An angle of 1e5 is known to 1e5 * 2^-52 either way.
  EXPECT_LT(LargestDifference(Rope(x_TNH, table), HuggingFaceRope(x_TNH, position_T, 10000.0)),
            1e-10);
}

TEST(RmsNorm, IsTheFormulaInEveryType) {
  const at::Tensor x_TD = at::randn({130, 48}, at::kDouble);
  const at::Tensor w_D = at::randn({48}, at::kDouble);
  const at::Tensor expected = x_TD / ((x_TD * x_TD).mean(-1, true) + 1e-5).sqrt() * w_D;
  EXPECT_LT(LargestDifference(RmsNorm(x_TD, {w_D, w_D}, 1e-5, at::kDouble), expected), 1e-13);
  const at::Tensor w = w_D.to(at::kFloat);
  EXPECT_LT(LargestDifference(RmsNorm(x_TD.to(at::kFloat), {w, w}, 1e-5, at::kFloat), expected),
            1e-5);
  const at::Tensor rounded = RmsNorm(x_TD.to(at::kFloat), {w, w}, 1e-5, at::kBFloat16);
  EXPECT_EQ(rounded.scalar_type(), at::kBFloat16);
  EXPECT_LT(LargestDifference(rounded, expected), expected.abs().max().item<double>() * 0x1p-8);
}

TEST(SwiGlu, HasTheGradientOfItsFormula) {
  const at::Tensor gate_TF = at::randn({70, 48}, at::kDouble).requires_grad_(true);
  const at::Tensor up_TF = at::randn({70, 48}, at::kDouble).requires_grad_(true);
  const at::Tensor dy_TF = at::randn({70, 48}, at::kDouble);
  SwiGlu(gate_TF, up_TF).backward(dy_TF);
  const at::Tensor gate = gate_TF.detach().requires_grad_(true);
  const at::Tensor up = up_TF.detach().requires_grad_(true);
  (at::silu(gate) * up).backward(dy_TF);
  EXPECT_LT(LargestDifference(SwiGlu(gate, up), at::silu(gate) * up), 1e-13);
  EXPECT_LT(LargestDifference(gate_TF.grad(), gate.grad()), 1e-13);
  EXPECT_LT(LargestDifference(up_TF.grad(), up.grad()), 1e-13);
}

// Of made-up inputs: outputs and gradients of everything that runs over threads row by row.
std::vector<at::Tensor> RowResults(int threads, at::ScalarType type) {
  at::set_num_threads(threads);
  at::manual_seed(1);
  const at::Tensor x_TD = at::randn({1000, 96}).requires_grad_(true);
  const at::Tensor w_D = at::randn({96}).requires_grad_(true);
  const at::Tensor h_TD = RmsNorm(x_TD, {w_D, w_D.detach()}, 1e-5, type);
  const at::Tensor f_TD = SwiGlu(h_TD, h_TD.flip(0));
  const at::Tensor position_T = at::arange(1000, at::kLong);
  const RopeTable table = MakeRopeTable(position_T, 32, 10000.0, at::kFloat);
  const at::Tensor y_TNH = Rope(f_TD.to(at::kFloat).view({1000, 3, 32}), table);
  y_TNH.backward(at::randn({1000, 3, 32}));
  return {h_TD, f_TD, y_TNH, x_TD.grad(), w_D.grad()};
}

TEST(Rows, HaveTheSameBitsForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const std::vector<at::Tensor> one = RowResults(1, type);
    for (const int more : {2, 3, 7}) {
      const std::vector<at::Tensor> several = RowResults(more, type);
      for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(several[i], one[i])) << i;
    }
  }
  at::set_num_threads(threads);
}

TEST(MatMul, EveryTransposeAndType) {
  const at::Tensor a = at::randn({37, 19});
  const at::Tensor b = at::randn({19, 23});
  const at::Tensor a_t = a.t().contiguous();
  const at::Tensor b_t = b.t().contiguous();
  const at::Tensor expected = at::mm(a.to(at::kDouble), b.to(at::kDouble));
  const Factor as[] = {{a}, {a_t, true}};
  const Factor bs[] = {{b}, {b_t, true}};
  for (const Factor& left : as) {
    for (const Factor& right : bs) {
      EXPECT_LT(LargestDifference(Product(left, right, at::kFloat), expected), 1e-5);
      const at::Tensor sum = at::ones({37, 23});
      AddProduct(left, right, sum);
      EXPECT_LT(LargestDifference(sum, expected + 1.0), 1e-5);
      // Inputs of 8 bits, exact products, float32 sums.
      const at::Tensor l = left.tensor.to(at::kBFloat16), r = right.tensor.to(at::kBFloat16);
      const at::Tensor ld = l.to(at::kDouble), rd = r.to(at::kDouble);
      const at::Tensor rounded =
          at::mm(left.transposed ? ld.t() : ld, right.transposed ? rd.t() : rd);
      EXPECT_LT(LargestDifference(Product({l, left.transposed}, {r, right.transposed}, at::kFloat),
                                  rounded),
                1e-5);
    }
  }
}

TEST(MatMul, EmptyMatrices) {
  const at::Tensor none = at::empty({0, 4});
  const at::Tensor w = at::ones({3, 4});
  EXPECT_EQ(Product({none}, {w, true}, at::kFloat).size(0), 0);
  // A sum over no rows is zero.
  const at::Tensor dy = at::empty({0, 3});
  EXPECT_EQ(Product({dy, true}, {none}, at::kFloat).abs().sum().item<float>(), 0.0f);
}

TEST(HeadLoss, BlocksOfRowsAddUpToCrossEntropy) {
  // A vocabulary so large that a block has 16 rows.
  const int64_t V = int64_t{1} << 20;
  const at::Tensor x_TD = at::randn({40, 4}, at::kDouble);
  const at::Tensor w_VD = at::randn({V, 4}, at::kDouble);
  at::Tensor target_T = at::arange(40, at::kLong) * 1000;
  target_T[7] = -1;
  at::Tensor w_leaf = w_VD.clone().requires_grad_(true);
  at::Tensor x_leaf = x_TD.clone().requires_grad_(true);
  const at::Tensor loss = HeadLoss(x_leaf, {w_leaf, w_VD}, target_T);
  loss.backward();
  at::Tensor x_plain = x_TD.clone().requires_grad_(true);
  const at::Tensor log_p = at::log_softmax(at::mm(x_plain, w_VD.t()), -1);
  const at::Tensor expected = at::nll_loss_nd(log_p, target_T, {}, at::Reduction::Sum, -1);
  expected.backward();
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-9 * expected.item<double>());
  EXPECT_LT(LargestDifference(x_leaf.grad(), x_plain.grad()), 1e-11);
  EXPECT_EQ(x_leaf.grad()[7].abs().sum().item<double>(), 0.0);
}

TEST(HeadLoss, OfBfloat16IsThatOfItsInputs) {
  const at::Tensor x_TD = at::randn({40, 32}).to(at::kBFloat16);
  const at::Tensor w_VD = at::randn({300, 32}).to(at::kBFloat16);
  at::Tensor target_T = at::arange(40, at::kLong) * 7;
  target_T[7] = -1;
  const at::Tensor x_leaf = x_TD.clone().requires_grad_(true);
  const at::Tensor w_leaf = w_VD.to(at::kFloat).requires_grad_(true);
  const at::Tensor loss = HeadLoss(x_leaf, {w_leaf, w_VD}, target_T);
  loss.backward();
  const at::Tensor x_plain = x_TD.to(at::kDouble).requires_grad_(true);
  const at::Tensor w_plain = w_VD.to(at::kDouble).requires_grad_(true);
  const at::Tensor log_p = at::log_softmax(at::mm(x_plain, w_plain.t()), -1);
  const at::Tensor expected = at::nll_loss_nd(log_p, target_T, {}, at::Reduction::Sum, -1);
  expected.backward();
  // Products are exact and sums float32; d_logits are rounded to 8 bits, and so is x's gradient.
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5 * expected.item<double>());
  EXPECT_LT(LargestDifference(w_leaf.grad(), w_plain.grad()),
            0x1p-8 * x_plain.detach().abs().sum(0).max().item<double>());
  EXPECT_LT(LargestDifference(x_leaf.grad(), x_plain.grad()),
            0x1p-8 * 3.0 * w_plain.detach().abs().max().item<double>());
  at::NoGradGuard no_gradient;
  EXPECT_EQ(HeadLoss(x_leaf, {w_leaf, w_VD}, target_T).item<double>(), loss.item<double>());
}

}  // namespace
}  // namespace rally
