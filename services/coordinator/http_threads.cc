#include "services/coordinator/http_threads.h"

#include <optional>
#include <utility>

#include <absl/time/time.h>

namespace rally {

HttpThreads::HttpThreads(int count) {
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this] {
      while (const std::optional<std::function<void()>> task = tasks_.Pop(absl::InfiniteFuture())) {
        (*task)();
      }
    });
  }
}

void HttpThreads::enqueue(std::function<void()> task) {
  tasks_.Push(std::move(task), absl::InfiniteFuture());
}

void HttpThreads::shutdown() {
  tasks_.Close();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace rally
