#include "scheduler/cost_model.h"

#include <cstddef>
#include <iterator>
#include <utility>

#include "common/status_macros.h"

namespace rally {
namespace {

size_t Index(Direction direction) { return static_cast<size_t>(direction); }

double Ratio(int64_t numerator, int64_t denominator) {
  return static_cast<double>(numerator) / static_cast<double>(denominator);
}

// Rates per second of what takes these times.
absl::StatusOr<RateGrid> RatesOf(const Profile::Times& times) {
  RateGrid::Points points;
  for (const auto& [amount, seconds] : times) points[{amount, 1.0}] = amount / seconds;
  return RateGrid::Make(points);
}

double SecondsOf(const Profile::Cost& cost, double amount) {
  return cost.seconds + cost.seconds_each * amount;
}

}  // namespace

absl::StatusOr<CostModel> CostModel::Make(Profile profile) {
  RALLY_RETURN_IF_ERROR(CheckProfile(profile));
  CostModel model;
  for (size_t d = 0; d < kDirections; ++d) {
    RALLY_ASSIGN_OR_RETURN(model.attention_[d], RateGrid::Make(profile.attention[d]));
    RALLY_ASSIGN_OR_RETURN(model.linear_[d], RatesOf(profile.linear[d]));
    RALLY_ASSIGN_OR_RETURN(model.head_[d], RatesOf(profile.head[d]));
  }
  model.profile_ = std::move(profile);
  return model;
}

absl::StatusOr<CostModel> CostModel::Parse(absl::string_view text) {
  RALLY_ASSIGN_OR_RETURN(Profile profile, ParseProfile(text));
  return Make(std::move(profile));
}

double CostModel::PairsPerSecond(const ModelShape& model, Direction direction, double query_rows,
                                 double mean_keys) const {
  const double measured = attention_[Index(direction)].At(query_rows, mean_keys);
  return measured * Ratio(profile_.heads * profile_.head_dim, model.heads * model.head_dim);
}

double CostModel::TaskSeconds(const ModelShape& model, Direction direction,
                              const CaTask& task) const {
  const auto pairs = static_cast<double>(AllowedPairs(task, model.mask));
  if (pairs <= 0.0) return 0.0;
  const auto rows = static_cast<double>(task.q_rows());
  return pairs / PairsPerSecond(model, direction, rows, pairs / rows);
}

double CostModel::PhaseSeconds(Direction direction, double bytes) const {
  return SecondsOf(profile_.phase[Index(direction)], bytes);
}

double CostModel::LinearSeconds(const ModelShape& model, Direction direction,
                                int64_t tokens) const {
  if (tokens <= 0) return 0.0;
  const auto amount = static_cast<double>(tokens);
  return amount / linear_[Index(direction)].At(amount, 1.0) *
         Ratio(LayerParameterCount(model), profile_.layer_parameters);
}

double CostModel::HeadSeconds(const ModelShape& model, Direction direction, int64_t tokens) const {
  if (tokens <= 0) return 0.0;
  const auto amount = static_cast<double>(tokens);
  const int64_t parameters = model.hidden_size * model.vocabulary;
  if (profile_.head_parameters > 0) {
    return amount / head_[Index(direction)].At(amount, 1.0) *
           Ratio(parameters, profile_.head_parameters);
  }
  return amount / linear_[Index(direction)].At(amount, 1.0) *
         Ratio(parameters, profile_.layer_parameters);
}

double CostModel::TransferSeconds(LinkClass link, double bytes) const {
  if (bytes <= 0.0) return 0.0;
  const Profile::Times& times = profile_.transfer[static_cast<size_t>(link)];
  if (bytes <= times.begin()->first) return times.begin()->second;
  auto right = times.upper_bound(bytes);
  if (right == times.end()) --right;  // Beyond the last: on the line of the last two.
  const auto left = std::prev(right);
  const double slope = (right->second - left->second) / (right->first - left->first);
  return left->second + (bytes - left->first) * slope;
}

double CostModel::UpdateSeconds(int64_t parameters) const {
  return SecondsOf(profile_.update, static_cast<double>(parameters));
}

double CostModel::ReduceSeconds(int64_t parameters, int64_t ranks) const {
  if (ranks <= 1) return 0.0;
  return SecondsOf(profile_.reduce,
                   static_cast<double>(parameters) * 2.0 * Ratio(ranks - 1, ranks));
}

}  // namespace rally
