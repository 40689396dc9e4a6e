// Interruption: one reason to stop waiting, seen by everything that waits.
//
// A signal, or the death of a child process, interrupts; calls under way are woken and return the
// reason. Thread-safe. Owned by the command that is running.
#ifndef RALLY_SERVICES_CLI_INTERRUPTION_H_
#define RALLY_SERVICES_CLI_INTERRUPTION_H_

#include <functional>
#include <list>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace rally {

class Interruption {
 public:
  // The first reason stays. `reason` is not OK.
  void Interrupt(absl::Status reason);
  // OK until interrupted.
  absl::Status reason() const;
  // Waits until `deadline`; true when interrupted.
  bool WaitUntil(absl::Time deadline) const;

  // While it lives, `wake` runs once when the interruption comes, at once if it has come already.
  // `wake` must be quick and must not use the interruption. Not running once this is destroyed.
  class Scope {
   public:
    Scope(Interruption* interruption, std::function<void()> wake);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interruption& interruption_;
    std::list<std::function<void()>>::iterator position_;
  };

 private:
  mutable absl::Mutex mutex_;
  absl::Status reason_ ABSL_GUARDED_BY(mutex_);
  std::list<std::function<void()>> wakers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_INTERRUPTION_H_
