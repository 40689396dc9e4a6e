// ShutdownSignal: SIGINT and SIGTERM as something a thread can wait for.
//
// Make exactly one, first thing in main, before any thread: it blocks both signals in the calling
// thread, and every thread made later inherits that. A thread of its own receives them. The first
// requests shutdown; a second SIGINT ends the process at once with exit code 130 (a second SIGTERM
// is ignored: the shutdown it asks for is under way). Destruction restores the signal mask.
//
// Children made by fork inherit blocked signals: call ResetSignalsInChild before exec.
#ifndef RALLY_COMMON_SHUTDOWN_H_
#define RALLY_COMMON_SHUTDOWN_H_

#include <functional>
#include <memory>

#include <absl/time/time.h>

namespace rally {

class ShutdownSignal {
 public:
  virtual ~ShutdownSignal() = default;

  static std::unique_ptr<ShutdownSignal> Install();

  // True once shutdown is requested.
  virtual bool requested() const = 0;
  // The signal that asked, SIGINT or SIGTERM; 0 when nobody or Request did.
  virtual int signal_number() const = 0;
  // Waits until `deadline`; true when shutdown is requested. Any number of threads.
  virtual bool WaitUntil(absl::Time deadline) const = 0;
  // Requests shutdown from within: an RPC, a failure, a test. Any thread.
  virtual void Request() = 0;
  // Runs `callback` once at the first request, on the requesting thread, or at once when it was
  // requested before. For waking threads that wait elsewhere; it must be quick. The last one set
  // counts; null removes it, and on return it is not running (so not from the callback itself).
  virtual void OnRequest(std::function<void()> callback) = 0;
};

// Unblocks SIGINT and SIGTERM and gives them their default effect. Async-signal-safe.
void ResetSignalsInChild();

}  // namespace rally

#endif  // RALLY_COMMON_SHUTDOWN_H_
