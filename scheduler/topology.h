// Topology: who can compute core attention, how fast, and over which links they are reached.
//
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_TOPOLOGY_H_
#define RALLY_SCHEDULER_TOPOLOGY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rally {

// What lies between two ranks.
enum class LinkClass : uint8_t { kSameProcess = 0, kSameNode = 1, kAcrossNodes = 2 };
inline constexpr int kLinkClasses = 3;

struct Topology {
  int32_t workers = 1;            // Ranks [0, workers) hold model layers.
  int32_t dedicated_servers = 0;  // Ranks [workers, workers + dedicated_servers).
  bool in_place = false;          // Workers compute CA-tasks for each other too.
  int32_t ranks_per_node = 0;     // Rank r is on node r / ranks_per_node; 0: one node holds all.
  // Core-attention work a rank should get, relative to the others, >= 0; 0 excludes it. [ranks], or
  // empty: all alike. A rank outside the pool gets none whatever stands here.
  std::vector<double> weights;

  int32_t ranks() const { return workers + dedicated_servers; }
  // No pool at all: every query row is computed at its home.
  bool local() const { return dedicated_servers == 0 && !in_place; }
  // The rank's weight, 0 when it is not in the pool.
  double weight(int32_t rank) const {
    if (rank < workers && !in_place && !local()) return 0.0;
    return weights.empty() ? 1.0 : weights[static_cast<size_t>(rank)];
  }
  LinkClass link(int32_t a, int32_t b) const {
    if (a == b) return LinkClass::kSameProcess;
    if (ranks_per_node <= 0 || a / ranks_per_node == b / ranks_per_node)
      return LinkClass::kSameNode;
    return LinkClass::kAcrossNodes;
  }
  friend bool operator==(const Topology&, const Topology&) = default;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_TOPOLOGY_H_
