#include "scheduler/link_ports.h"

#include <algorithm>
#include <cstddef>

namespace rally {

LinkPorts::LinkPorts(const Topology* topology, const CostModel* costs)
    : topology_(topology),
      costs_(costs),
      sending_until_(static_cast<size_t>(topology->ranks())),
      receiving_until_(sending_until_.size()) {
  constexpr double kLarge = 1e12;  // Bytes; beyond every measured size, where the time is a line.
  for (int link = 0; link < kLinkClasses; ++link) {
    const auto of_class = static_cast<LinkClass>(link);
    seconds_per_byte_[static_cast<size_t>(link)] =
        (costs->TransferSeconds(of_class, 2 * kLarge) - costs->TransferSeconds(of_class, kLarge)) /
        kLarge;
  }
}

double LinkPorts::Send(int32_t from, int32_t to, double bytes, double now) {
  return Arrive(from, to, bytes, now, Depart(from, to, bytes, now));
}

double LinkPorts::Depart(int32_t from, int32_t to, double bytes, double now) {
  const LinkClass of_class = topology_->link(from, to);
  const auto link = static_cast<size_t>(of_class);
  bytes_[link] += bytes;
  if (of_class == LinkClass::kSameProcess) return now;
  double& sending = sending_until_[from][link];
  sending = std::max(sending, now) + bytes * seconds_per_byte_[link];
  return sending;
}

double LinkPorts::Arrive(int32_t from, int32_t to, double bytes, double now, double departed) {
  const LinkClass of_class = topology_->link(from, to);
  if (of_class == LinkClass::kSameProcess) return now;
  const auto link = static_cast<size_t>(of_class);
  const double occupied = bytes * seconds_per_byte_[link];
  double& receiving = receiving_until_[to][link];
  receiving = std::max(receiving, now) + occupied;
  const double latency = costs_->TransferSeconds(of_class, bytes) - occupied;
  return std::max(departed, receiving) + std::max(0.0, latency);
}

}  // namespace rally
