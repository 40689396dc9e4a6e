// Profile: what was measured of a device and of its links, and the text form it is kept in.
//
// The text form, "rally-profile 1", is specified in docs/profile-format.md. Formatting and parsing
// again gives the same profile, bit for bit; comments are not kept.
//
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_PROFILE_H_
#define RALLY_SCHEDULER_PROFILE_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "scheduler/rate_grid.h"
#include "scheduler/topology.h"

namespace rally {

// Largest counts a profile may hold; products of them fit.
inline constexpr int64_t kMostElementBytes = 16;
inline constexpr int64_t kMostHeads = int64_t{1} << 20;  // And elements of a head.
inline constexpr int64_t kMostParameters = int64_t{1} << 50;

inline constexpr int kDirections = 2;  // Indexed by Direction (scheduler/phase.h).

struct Profile {
  // Seconds of an amount (tokens, bytes); ascending in the amount.
  using Times = std::map<double, double>;
  // A fixed part, and one that grows: with the bytes of a phase, the parameters of a model.
  struct Cost {
    double seconds = 0.0;
    double seconds_each = 0.0;

    friend bool operator==(const Cost&, const Cost&) = default;
  };

  std::string name;                  // One word.
  std::vector<std::string> sources;  // Lines of text: where the figures are from, what is assumed.
  int64_t element_bytes = 0;         // Of a row that travels: 2 for bfloat16, 4 for float32.

  // Core attention of one layer: allowed pairs per second by (query rows of the task, mean allowed
  // keys of a row), for this shape.
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  std::array<RateGrid::Points, kDirections> attention;

  // The linear part of one layer of this many parameters, by tokens.
  int64_t layer_parameters = 0;
  std::array<Times, kDirections> linear;

  // Embedding, last norm, output head and loss, by tokens, for a head of this many parameters
  // (hidden size * vocabulary). Optional: empty, and 0 parameters.
  int64_t head_parameters = 0;
  std::array<Times, kDirections> head;

  // One message, by bytes; seconds do not fall. Indexed by LinkClass.
  std::array<Times, kLinkClasses> transfer;

  // A rank's part in one phase beside kernel and links; each byte is one that it packs, assembles
  // or merges: requests and replies, whichever link they take.
  std::array<Cost, kDirections> phase;
  Cost update;  // Clipping and optimizer, once a step; per parameter.
  // Sum of the gradients over W ranks, once a step; per parameter and 2 (W - 1) / W, which is what
  // a ring moves.
  Cost reduce;

  friend bool operator==(const Profile&, const Profile&) = default;
};

// OK, or InvalidArgument that names the record, its value and the accepted range.
absl::Status CheckProfile(const Profile& profile);

// Returns a profile that passes CheckProfile. InvalidArgument names the line, the field, its value
// and what is accepted.
absl::StatusOr<Profile> ParseProfile(absl::string_view text);
std::string FormatProfile(const Profile& profile);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PROFILE_H_
