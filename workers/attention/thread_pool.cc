#include "workers/attention/thread_pool.h"

#include <pthread.h>

#include <algorithm>

namespace rally {

ThreadPool::ThreadPool(int threads) {
  for (int thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { Work(thread); });
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
  pthread_setname_np(pthread_self(), "rally-kernel");  // As `top -H` shows it.
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
