// ThreadPool: the threads of one attention kernel.
//
// Run calls a function once on each of some threads, the caller's among them, and returns when all
// have returned. A pool of one thread starts none: everything happens on the caller's.
//
// One Run at a time. The threads sleep between runs.
#ifndef RALLY_WORKERS_ATTENTION_THREAD_POOL_H_
#define RALLY_WORKERS_ATTENTION_THREAD_POOL_H_

#include <cstdint>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/functional/function_ref.h>
#include <absl/synchronization/mutex.h>

namespace rally {

class ThreadPool {
 public:
  // `threads` at least 1, the caller's included.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(0) here and body(1) .. body(threads - 1) on others; `threads` is cut to the pool's.
  void Run(int64_t threads, absl::FunctionRef<void(int thread)> body);

 private:
  void Work(int thread);

  absl::Mutex mutex_;
  const absl::FunctionRef<void(int)>* body_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int64_t run_ ABSL_GUARDED_BY(mutex_) = 0;  // Counts runs.
  int wanted_ ABSL_GUARDED_BY(mutex_) = 0;   // Threads of this run.
  int busy_ ABSL_GUARDED_BY(mutex_) = 0;     // Workers that have not returned from it.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> workers_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_THREAD_POOL_H_
