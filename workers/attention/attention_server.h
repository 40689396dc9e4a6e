// AttentionServer: computes the CA-tasks the plan gives to one rank, phase by phase.
//
// The same object serves in both ways: a dedicated server calls ServeStep for every plan; a worker
// that serves in place calls ServePhase between its own layers. It keeps nothing between phases but
// pooled memory: the backward works from inputs its homes send again.
//
// Per phase: receive every route's request, compute all tasks as one fused batch, send every
// route's reply (message layout in scheduler/message_layout.h). Gradients of key/value rows that
// several tasks share are summed in float32 in the plan's task order.
//
// A round whose pool has changed under way is taken up by another server, or by this rank's next
// one, from where its workers stand (CollectedPhases): earlier phases are left out, and homes that
// have a phase behind them send rows to it but get no reply.
//
// Threads: one caller at a time. Transport and kernel are borrowed and must outlive the server.
// Errors: whatever transport or kernel report; the server can not be used for the epoch after one.
#ifndef RALLY_WORKERS_ATTENTION_ATTENTION_SERVER_H_
#define RALLY_WORKERS_ATTENTION_ATTENTION_SERVER_H_

#include <cstdint>
#include <memory>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "scheduler/collected_phases.h"
#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/plan.h"
#include "workers/attention/attention_kernel.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally {

struct AttentionServerOptions {
  ModelShape shape;
  AttentionElement element = AttentionElement::kFloat32;  // Of requests; the homes' too.
  uint32_t epoch = 0;
  // Longest wait for one phase's messages.
  absl::Duration phase_timeout = absl::Seconds(60);
};

// What the server did since the last BeginStep.
struct ServerStepStats {
  int64_t pairs = 0;  // Allowed pairs computed, forward and backward counted once each.
  int64_t tasks = 0;
  absl::Duration compute;  // In the kernel.
  absl::Duration waiting;  // For messages: requests to come, replies to leave.
};

class AttentionServer {
 public:
  virtual ~AttentionServer() = default;

  // Takes up a plan that has passed CheckPlan, from where its workers stand.
  virtual absl::Status BeginStep(std::shared_ptr<const Plan> plan,
                                 CollectedPhases collected = {}) = 0;

  // Posts the receives of a phase of the current step so that its requests land while the caller
  // does other work. Optional; ServePhase does it when it was not called.
  virtual absl::Status PostPhase(const Phase& phase) = 0;

  // Serves one phase of the current step, in PhaseOrder.
  virtual absl::Status ServePhase(const Phase& phase) = 0;

  // Serves the phases of the current step that are wanted in PhaseOrder, receiving ahead.
  virtual absl::Status ServeStep() = 0;

  virtual ServerStepStats stats() const = 0;
};

// `pool` is borrowed too.
std::unique_ptr<AttentionServer> MakeAttentionServer(const AttentionServerOptions& options,
                                                     Transport* transport, AttentionKernel* kernel,
                                                     BufferPool* pool);

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_ATTENTION_SERVER_H_
