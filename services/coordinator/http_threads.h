// HttpThreads: a fixed number of threads that serve httplib's connections, one each at a time.
//
// While all are busy, enqueue waits, and with it the loop that accepts connections: whoever comes
// then waits in the kernel, where he costs no descriptor. Made, filled and shut down by httplib.
#ifndef RALLY_SERVICES_COORDINATOR_HTTP_THREADS_H_
#define RALLY_SERVICES_COORDINATOR_HTTP_THREADS_H_

#include <functional>
#include <thread>
#include <vector>

#include <httplib.h>

#include "common/bounded_queue.h"

namespace rally {

class HttpThreads final : public httplib::TaskQueue {
 public:
  explicit HttpThreads(int count);

  // Waits for a thread to get done, but for one task that may lie ready.
  void enqueue(std::function<void()> task) override;
  // Waits for the tasks that it has; they must end by themselves.
  void shutdown() override;

 private:
  BoundedQueue<std::function<void()>> tasks_{1};
  std::vector<std::thread> threads_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_HTTP_THREADS_H_
