// A kernel whose calls are watched: one that takes far longer than its work should is reported
// while it is still in the call, since a device that hangs does not return to say so.
//
// What a call should take is its allowed pairs times what a pair took in the calls before it of the
// same direction, the latest counting most. A call without one before it is not judged.
//
// Time is counted by the watch's own ticks: a process that was stopped, or a machine that slept, is
// not taken for a kernel that hangs.
//
// Threads: as AttentionKernel. `report` is called on a thread of the watch's own, at most once a
// call; destruction waits for it.
#ifndef RALLY_WORKERS_ATTENTION_WATCHED_KERNEL_H_
#define RALLY_WORKERS_ATTENTION_WATCHED_KERNEL_H_

#include <functional>
#include <memory>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "workers/attention/attention_kernel.h"

namespace rally {

struct KernelWatchOptions {
  // A call is late after `least` and so many times what it should take: a server that another
  // program slows ten times is slow, and gets less work.
  double times_usual = 20.0;
  absl::Duration least = absl::Seconds(5);
  absl::Duration tick = absl::Milliseconds(100);
};

// `kernel` is borrowed.
std::unique_ptr<AttentionKernel> MakeWatchedKernel(
    AttentionKernel* kernel, const KernelWatchOptions& options,
    std::function<void(const absl::Status& late)> report);

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_WATCHED_KERNEL_H_
