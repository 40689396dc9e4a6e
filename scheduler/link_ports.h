// LinkPorts: when messages arrive that share the sending and receiving ports of devices.
//
// Each device has a sending and a receiving port per link class. A port carries messages in the
// order of Send calls at the bandwidth of the cost model's largest messages, and is never idle
// while it has one. A message arrives when both its ports have carried it and what its time
// exceeds its bytes at that bandwidth, its latency, has passed. A message of a device to itself
// takes no time here.
//
// One thread. Topology and cost model are borrowed.
#ifndef RALLY_SCHEDULER_LINK_PORTS_H_
#define RALLY_SCHEDULER_LINK_PORTS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/cost_model.h"
#include "scheduler/topology.h"

namespace rally {

class LinkPorts {
 public:
  LinkPorts(const Topology* topology, const CostModel* costs);

  // The arrival of a message that is sent at `now`, which does not fall from call to call.
  double Send(int32_t from, int32_t to, double bytes, double now);
  // Its two halves, for a device that knows its own ports alone: when the sending port has carried
  // the message, and when it arrives.
  double Depart(int32_t from, int32_t to, double bytes, double now);
  double Arrive(int32_t from, int32_t to, double bytes, double now, double departed);

  // Sent so far, by LinkClass.
  const std::array<double, kLinkClasses>& bytes() const { return bytes_; }

 private:
  using ByClass = std::array<double, kLinkClasses>;

  const Topology* const topology_;
  const CostModel* const costs_;
  ByClass seconds_per_byte_ = {};
  std::vector<ByClass> sending_until_;    // [ranks]
  std::vector<ByClass> receiving_until_;  // [ranks]
  ByClass bytes_ = {};
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_LINK_PORTS_H_
