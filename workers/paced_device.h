// PacedDevice: an emulated accelerator that runs its part of a training step in a cost model's
// time.
//
// It follows the same program as the simulator (scheduler/device_program.h): its computation takes
// the modelled time, its messages go to the other ranks over the real transport and count as
// arrived when the modelled links would have brought them (scheduler/link_ports.h).
//
// A device has a clock of its own, in seconds of the emulated device since the Unix epoch; the
// caller sleeps until it, so being woken late shifts nothing. Messages carry their sender's clock:
// the hosts' clocks must agree. A port takes messages in the order they are waited for.
//
// Threads: one caller; Abort from any. What it is given is borrowed.
#ifndef RALLY_WORKERS_PACED_DEVICE_H_
#define RALLY_WORKERS_PACED_DEVICE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "scheduler/cost_model.h"
#include "scheduler/device_program.h"
#include "scheduler/link_ports.h"
#include "scheduler/phase_costs.h"
#include "scheduler/step_forecast.h"
#include "scheduler/topology.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally {

struct PacedDeviceOptions {
  uint32_t epoch = 0;
  double time_scale = 1.0;     // Seconds here of a second of the device.
  double message_scale = 1.0;  // Part of a message's bytes that is sent; at least its stamp is.
  absl::Duration patience;     // Longest wait for one message.
};

// What is run: the program of all devices of a plan and its costs.
struct PacedStep {
  int64_t round = 0;  // The plan's.
  const StepProgram* program = nullptr;
  const PhaseTable* costs = nullptr;
};

struct PacedTimes {
  std::array<double, kActivities> seconds = {};  // Of the device, by Activity.
  double total = 0.0;  // From the call to the device's last operation, by its clock.
  double late = 0.0;   // How far its clock was behind the real one at the end.
};

class PacedDevice {
 public:
  PacedDevice(const PacedDeviceOptions& options, const Topology* topology, const CostModel* costs,
              Transport* transport, BufferPool* pool);

  // Runs this rank's program to its end. Errors are the transport's.
  absl::StatusOr<PacedTimes> Run(const PacedStep& step);

  // Ends a sleep. The transport is to be aborted first: its error is what Run returns.
  void Abort();

 private:
  // A message to come.
  struct Message {
    int32_t from = 0;
    double bytes = 0.0;  // By the model.
    Buffer buffer;
    Transfer transfer;
  };
  using Inbox = std::vector<Message>;
  struct Sent {
    Buffer buffer;
    Transfer transfer;
  };

  int32_t rank() const { return transport_.rank(); }
  double RealTime() const;
  absl::Time DeadlineForMessages() const;

  absl::Status Step(const Operation& operation);
  absl::Status Work(Activity activity, double seconds);
  // One of this rank's times in a phase, in the phase's direction.
  double PartSeconds(std::array<double, kDirections> PhaseCosts::Part::*seconds,
                     int32_t phase) const;
  absl::Status SleepUntilNow();
  void Spend(Activity activity, double seconds);

  // Sending.
  absl::Status Post(int32_t phase);
  absl::Status Reply(int32_t phase);
  absl::Status SendStage(int32_t message);
  absl::Status Reduce(const Operation& operation);
  absl::Status Send(int32_t to, const Tag& tag, double bytes, double delayed);
  absl::Status AwaitSent(size_t most_bytes);

  // Receiving.
  void ExpectAhead();
  Inbox Expect(const Operation& operation);
  void AddMessage(int32_t from, const Tag& tag, double bytes, Inbox* inbox);
  // The messages of the next operation that awaits some, all here, in the order they were sent.
  absl::StatusOr<Inbox> TakeInbox();
  // `travel`, if given, gets the seconds spent waiting for what was on its way.
  absl::Status Await(Activity waiting, double* travel = nullptr);

  Tag TagOf(MessageKind kind, int32_t source, int32_t index) const;
  const PhaseCosts& CostsOf(int32_t phase) const;
  size_t SentBytes(double bytes) const;

  const PacedDeviceOptions options_;
  Transport& transport_;
  BufferPool& pool_;
  absl::Mutex mutex_;
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;

  // Of one Run.
  PacedStep step_;
  PacedTimes times_;
  double now_ = 0.0;           // The device's clock.
  size_t next_ = 0;            // Operation.
  size_t expected_ = 0;        // Operations before it have their receives posted.
  std::deque<Inbox> inboxes_;  // Of the awaiting operations from next_ on.
  std::deque<Sent> sent_;      // On its way.
  size_t sent_bytes_ = 0;
  std::vector<double> delayed_;  // By phase: seconds that its requests were on their way for.
  LinkPorts ports_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_PACED_DEVICE_H_
