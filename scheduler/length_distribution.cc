#include "scheduler/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

namespace rally {
namespace {

constexpr absl::string_view kHeading = "quantile,tokens";

// In [0, 1), the same on every platform.
double Uniform(std::mt19937_64* random) {
  constexpr double kScale = 1.0 / 9007199254740992.0;  // 2^-53
  return static_cast<double>((*random)() >> 11) * kScale;
}

double TokensAt(const std::vector<std::pair<double, double>>& quantiles, double quantile) {
  const auto right =
      std::upper_bound(quantiles.begin(), quantiles.end(), quantile,
                       [](double value, const auto& point) { return value < point.first; });
  if (right == quantiles.begin()) return right->second;
  const auto left = std::prev(right);
  if (right == quantiles.end()) return left->second;
  const double part = (quantile - left->first) / (right->first - left->first);
  return left->second + part * (right->second - left->second);
}

}  // namespace

absl::StatusOr<std::vector<std::pair<double, double>>> ParseQuantiles(absl::string_view text) {
  std::vector<std::pair<double, double>> quantiles;
  int line = 0;
  for (absl::string_view row : absl::StrSplit(text, '\n')) {
    ++line;
    row = absl::StripAsciiWhitespace(row);
    if (row.empty() || row[0] == '#' || row == kHeading) continue;
    const std::vector<absl::string_view> fields = absl::StrSplit(row, ',');
    double quantile = 0.0;
    double tokens = 0.0;
    const bool read = fields.size() == 2 && absl::SimpleAtod(fields[0], &quantile) &&
                      absl::SimpleAtod(fields[1], &tokens);
    const bool first = quantiles.empty();
    if (!read || quantile < 0.0 || quantile > 1.0 || tokens < 1.0 ||
        (!first && (quantile <= quantiles.back().first || tokens < quantiles.back().second))) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line, ": \"", row, "\" is not \"", kHeading,
                       "\" with a quantile in [0, 1] above the last and at least 1 token, not ",
                       "fewer than before"));
    }
    quantiles.emplace_back(quantile, tokens);
  }
  if (quantiles.empty()) return absl::InvalidArgumentError("no quantiles");
  return quantiles;
}

std::vector<int64_t> SampleLengths(const LengthDistribution& distribution, int64_t context,
                                   int64_t tokens, uint64_t seed) {
  std::mt19937_64 random(seed);
  const double stretch =
      distribution.stretch_from > 0
          ? static_cast<double>(context) / static_cast<double>(distribution.stretch_from)
          : 1.0;
  std::vector<int64_t> lengths;
  for (int64_t sum = 0; sum < tokens;) {
    double length = distribution.lengths.empty()
                        ? TokensAt(distribution.quantiles, Uniform(&random))
                        : static_cast<double>(
                              distribution.lengths[lengths.size() % distribution.lengths.size()]);
    if (distribution.long_tokens > 0) {
      const bool is_long = length >= static_cast<double>(distribution.long_tokens);
      if (!is_long && Uniform(&random) * distribution.long_weight >= 1.0) continue;
      if (is_long && Uniform(&random) < distribution.whole_context) {
        length = static_cast<double>(context);
      }
    }
    lengths.push_back(std::clamp<int64_t>(std::llround(length * stretch), 1, context));
    sum += lengths.back();
  }
  return lengths;
}

}  // namespace rally
