#include "workers/attention/thread_pool.h"

#include <sched.h>

#include <algorithm>

#include "common/cores.h"

namespace rally {
namespace {

// The calling thread, where the system lets it.
void Pin(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof(cores), &cores);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const std::vector<int> cores = AllowedCores();
  const bool pinned = threads == static_cast<int>(cores.size()) && threads == UsableCores();
  for (int thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread, pinned, core = cores[thread % cores.size()]] {
      if (pinned) Pin(core);
      Work(thread);
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int64_t threads, absl::FunctionRef<void(int thread)> body) {
  const int wanted = static_cast<int>(std::clamp<int64_t>(threads, 1, this->threads()));
  if (wanted > 1) {
    absl::MutexLock lock(&mutex_);
    body_ = &body;
    wanted_ = wanted;
    busy_ = wanted - 1;
    ++run_;
  }
  body(0);
  if (wanted > 1) {
    absl::MutexLock lock(&mutex_);
    const auto done = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return busy_ == 0; };
    mutex_.Await(absl::Condition(&done));
    body_ = nullptr;
  }
}

void ThreadPool::Work(int thread) {
  int64_t seen = 0;
  for (;;) {
    const absl::FunctionRef<void(int)>* body = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      const auto called = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return stopping_ || (run_ != seen && body_ != nullptr);
      };
      mutex_.Await(absl::Condition(&called));
      if (stopping_) return;
      seen = run_;
      if (thread >= wanted_) continue;
      body = body_;
    }
    (*body)(thread);
    absl::MutexLock lock(&mutex_);
    --busy_;
  }
}

}  // namespace rally
