// EventQueue: where every thread puts what the coordinator's loop has to hear.
//
// Put waits a short while when the queue is full, which only a stalled disk brings about.
#ifndef RALLY_SERVICES_COORDINATOR_EVENT_QUEUE_H_
#define RALLY_SERVICES_COORDINATOR_EVENT_QUEUE_H_

#include <cstddef>
#include <optional>
#include <utility>

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "common/bounded_queue.h"
#include "services/coordinator/event.h"

namespace rally {

class EventQueue {
 public:
  // False when the coordinator is stopping or does not keep up; the event is then dropped.
  bool Put(Event event) { return queue_.Push(std::move(event), absl::Now() + absl::Seconds(5)); }

  // Waits for an event, but not longer than `timeout`.
  std::optional<Event> Take(absl::Duration timeout) { return queue_.Pop(absl::Now() + timeout); }
  size_t size() const { return queue_.size(); }
  void Close() { queue_.Close(); }
  bool closed() const { return queue_.closed(); }

 private:
  BoundedQueue<Event> queue_{65536};
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_EVENT_QUEUE_H_
