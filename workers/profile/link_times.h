// Link times: seconds of one message inside this process, and to another process of this machine.
//
// One caller at a time.
#ifndef RALLY_WORKERS_PROFILE_LINK_TIMES_H_
#define RALLY_WORKERS_PROFILE_LINK_TIMES_H_

#include <cstddef>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/profile.h"
#include "workers/profile/repeated_timing.h"

namespace rally {

struct LinkEffort {
  std::vector<size_t> bytes;          // Message sizes, ascending, at least two.
  std::vector<size_t> reduce_floats;  // Of the gradients; two sizes, ascending.
  TimingEffort timing;
};

// A message from a rank to itself, over the transport of jobs of one process.
absl::StatusOr<Profile::Times> MeasureWithinProcess(const LinkEffort& effort);

// What two processes measure together: one-way times over the transport of jobs of one machine,
// and the sum of gradients, per float, of two ranks.
struct PeerTimes {
  Profile::Times transfer;
  Profile::Cost reduce;
};
// Both processes call this, with the ends of a ForkedProcess's socket and the ranks 0 and 1; the
// times of rank 0 are the result.
absl::StatusOr<PeerTimes> MeasureWithPeer(int fd, int rank, const LinkEffort& effort);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_LINK_TIMES_H_
