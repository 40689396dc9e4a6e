// The failures' half of EventEngine.
#include <algorithm>
#include <cstddef>
#include <limits>

#include "scheduler/event_engine.h"

namespace rally {

double EventEngine::DeathOf(int32_t rank) const {
  double death = std::numeric_limits<double>::infinity();
  for (const ServerFailure& failure : input_.failures) {
    if (failure.rank == rank) death = std::min(death, failure.seconds);
  }
  return death;
}

bool EventEngine::Detected(int32_t rank, double now) const {
  return now >= DeathOf(rank) + input_.detection_seconds;
}

void EventEngine::Die(int32_t rank) {
  devices_[rank].dead = true;
  devices_[rank].waits = nullptr;
}

// Homes learn of it and send what was not answered to the other servers.
void EventEngine::Detect(size_t failure) {
  const int32_t server = input_.failures[failure].rank;
  const double now = input_.failures[failure].seconds + input_.detection_seconds;
  if (devices_[server].next == program_.operations[server].size()) return;
  Die(server);
  for (size_t phase = 0; phase < phases_.size(); ++phase) {
    const PhaseState& state = phases_[phase];
    if (state.table < 0 || state.replied[server]) continue;
    const PhaseCosts& costs = CostsOf(program_.phases[phase], state.table);
    for (const int32_t index : costs.parts[server].as_server) {
      // A home that has not posted the phase yet learns when it does.
      if (state.posted[costs.exchanges[index].home]) {
        Redo(static_cast<int32_t>(phase), costs.exchanges[index], now);
      }
    }
  }
}

// The other servers have each an equal part of what the dead one owed in the phase; without its
// replies they are as good as idle.
void EventEngine::Redo(int32_t phase, const Exchange& exchange, double now) {
  int32_t others = 0;
  for (int32_t rank = 0; rank < ranks(); ++rank) {
    if (input_.topology.weight(rank) > 0.0 && !Detected(rank, now)) ++others;
  }
  const auto direction = static_cast<size_t>(program_.phases[phase].direction);
  const double bytes = exchange.reply_bytes[direction];
  if (bytes <= 0.0) return;
  const LinkClass link = input_.topology.link(exchange.home, exchange.server);
  const double seconds = PartSeconds(&PhaseCosts::Part::attend_seconds, phase, exchange.server);
  const double sent = now + input_.costs->TransferSeconds(link, exchange.request_bytes[direction]) +
                      seconds / others;
  Arrive(exchange.home, {0, sent + input_.costs->TransferSeconds(link, bytes), sent},
         &phases_[phase].replies[exchange.home]);
}

}  // namespace rally
