// StepData and ScriptedHome: the home's side of core attention, for tests of attention servers.
//
// StepData holds random inputs of every document and layer, and what the homes got back, merged in
// double precision. A ScriptedHome sends and receives what the plan's routes say for one worker, in
// messages that it lays out by itself.
// Homes of one step write to disjoint rows, so they may run in threads over one StepData; gradients
// of keys are added to by their own home alone.
#ifndef RALLY_TESTS_ATTENTION_SCRIPTED_HOME_H_
#define RALLY_TESTS_ATTENTION_SCRIPTED_HOME_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <absl/status/status.h>

#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/phase_routes.h"
#include "scheduler/plan.h"
#include "workers/attention/attention_server.h"
#include "workers/transport/transport.h"

namespace rally {

// One document in one layer. Rows are packed as in messages.
struct DocumentData {
  // Inputs, all values that the element can hold; lse and delta are the reference's.
  std::vector<float> q, k, v, d_out, lse, delta;
  // Merged parts: sum of weights times outputs, and of weights, relative to `largest`.
  std::vector<double> weighted_out, weight, largest;
  std::vector<double> d_q, d_k, d_v;
};

class StepData {
 public:
  StepData(const Plan& plan, const ModelShape& shape, AttentionElement element,
           std::mt19937_64* random);

  DocumentData* document(int64_t layer, int32_t document) { return &data_[layer][document]; }

  AttentionElement element() const { return element_; }

  // Every row of every document and layer, against the reference, for a kernel that rounds terms by
  // `rounding` (reference_attention.h).
  void ExpectMatchesReference(double rounding) const;

 private:
  void ExpectForward(const DocumentData& data, int64_t tokens, double rounding) const;
  void ExpectBackward(const DocumentData& data, int64_t tokens, double rounding) const;

  const ModelShape shape_;
  const AttentionElement element_;
  const bool train_;
  std::vector<int64_t> tokens_;
  std::vector<std::vector<DocumentData>> data_;  // [layer][document]
};

class ScriptedHome {
 public:
  // Everything is borrowed. The home is the transport's rank.
  ScriptedHome(const Plan* plan, const ModelShape& shape, uint32_t epoch, Transport* transport,
               StepData* data);

  // Runs the step: requests of the next phase leave before this one is served by `server`, in
  // place, and its replies are awaited.
  absl::Status Run(AttentionServer* server);

 private:
  struct Exchange {
    Phase phase;
    PhaseRoutes routes;
    std::vector<std::vector<std::byte>> requests;
    std::vector<std::vector<float>> replies;
    std::vector<Transfer> transfers;
  };

  void Post(const Phase& phase, Exchange* exchange);
  std::vector<std::byte> PackRequest(const Route& route, const Phase& phase);
  int64_t ReplyFloats(const Route& route, const Phase& phase) const;
  void TakeForward(const Route& route, const Phase& phase, const std::vector<float>& reply);
  void TakeBackward(const Route& route, const Phase& phase, const std::vector<float>& reply);
  Tag MakeTag(const Phase& phase, MessageKind kind, int32_t source) const;

  const Plan* const plan_;
  const ModelShape shape_;
  const uint32_t epoch_;
  Transport* const transport_;
  StepData* const data_;
};

}  // namespace rally

#endif  // RALLY_TESTS_ATTENTION_SCRIPTED_HOME_H_
