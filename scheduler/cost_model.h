// CostModel: the seconds that a device and its links take, by interpolation in measured grids.
//
// A profile is measured for one attention shape and one layer, at one element size; what is asked
// for another model is scaled by FLOP (core attention: heads * head_dim; linear part: parameters of
// a layer; head: hidden size * vocabulary). Times are of one device; a slice of a tensor-parallel
// layer is asked for as a model of divided heads and feed_forward_size. Directions stand apart: a
// backward time is of the backward alone.
//
// Immutable plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_COST_MODEL_H_
#define RALLY_SCHEDULER_COST_MODEL_H_

#include <array>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "scheduler/ca_task.h"
#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/profile.h"
#include "scheduler/rate_grid.h"
#include "scheduler/topology.h"

namespace rally {

class CostModel {
 public:
  // InvalidArgument when the profile does not pass CheckProfile.
  static absl::StatusOr<CostModel> Make(Profile profile);
  // Text form: see docs/profile-format.md. InvalidArgument names the line and what is accepted.
  static absl::StatusOr<CostModel> Parse(absl::string_view text);
  std::string Format() const { return FormatProfile(profile_); }

  // One CA-task of one layer, in a batch that fills the device: proportional to its allowed pairs,
  // at the rate measured for its query rows and their mean allowed keys. 0 without pairs.
  double TaskSeconds(const ModelShape& model, Direction direction, const CaTask& task) const;
  // Allowed pairs per second of such a task. query_rows and mean_keys > 0.
  double PairsPerSecond(const ModelShape& model, Direction direction, double query_rows,
                        double mean_keys) const;
  // A rank's part in one phase beside kernel and links: fixed, and for the bytes of requests and
  // replies that it packs, assembles or merges, those to itself too. The copy that a message to
  // itself takes is in it: no TransferSeconds(kSameProcess) beside it.
  double PhaseSeconds(Direction direction, double bytes) const;

  // Everything of one layer but core attention, for this many tokens.
  double LinearSeconds(const ModelShape& model, Direction direction, int64_t tokens) const;
  // Embedding, last norm, output head and loss, for this many tokens. A profile without head times
  // takes the linear part's rate.
  double HeadSeconds(const ModelShape& model, Direction direction, int64_t tokens) const;

  // One message of this many bytes, 0 for none: the floor of the latency up to the first measured
  // size, straight lines between the sizes, the bandwidth of the last two beyond.
  double TransferSeconds(LinkClass link, double bytes) const;

  // Once a training step, of `parameters` weights: clipping and optimizer; and the sum of the
  // gradients over `ranks` workers, 0 for one.
  double UpdateSeconds(int64_t parameters) const;
  double ReduceSeconds(int64_t parameters, int64_t ranks) const;

  // Bytes of one element of a row that travels: 2 for bfloat16, 4 for float32.
  int64_t element_bytes() const { return profile_.element_bytes; }
  const Profile& profile() const { return profile_; }

 private:
  CostModel() = default;

  Profile profile_;
  std::array<RateGrid, kDirections> attention_;  // Pairs per second.
  std::array<RateGrid, kDirections> linear_;     // Tokens per second; y is 1.
  std::array<RateGrid, kDirections> head_;       // Likewise; may be empty.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_COST_MODEL_H_
