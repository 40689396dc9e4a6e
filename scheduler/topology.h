// Topology: who can compute core attention, and how fast.
//
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_TOPOLOGY_H_
#define RALLY_SCHEDULER_TOPOLOGY_H_

#include <cstdint>

namespace rally {

struct Topology {
  int32_t workers = 1;            // Ranks [0, workers) hold model layers.
  int32_t dedicated_servers = 0;  // Ranks [workers, workers + dedicated_servers).
  bool in_place = false;          // Workers compute CA-tasks for each other too.

  int32_t ranks() const { return workers + dedicated_servers; }
  // No pool at all: every query row is computed at its home.
  bool local() const { return dedicated_servers == 0 && !in_place; }
  friend bool operator==(const Topology&, const Topology&) = default;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_TOPOLOGY_H_
