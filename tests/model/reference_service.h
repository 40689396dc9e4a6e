// ReferenceService: an attention server for tests, slow and obvious, in double precision.
//
// Serves the tasks of one rank from the routes alone, sharing neither code with workers/attention
// nor the layout of messages with the homes. Elements are widened as requests come.
// Threads: one caller at a time. Transport is borrowed.
#ifndef RALLY_TESTS_MODEL_REFERENCE_SERVICE_H_
#define RALLY_TESTS_MODEL_REFERENCE_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/phase_routes.h"
#include "scheduler/plan.h"
#include "workers/model/in_place_service.h"
#include "workers/transport/transport.h"

namespace rally::testing {

class ReferenceService {
 public:
  ReferenceService(const ModelShape& shape, AttentionElement element, uint32_t epoch,
                   Transport* transport);

  // Serves through this object, which must outlive the result.
  InPlaceService service();

  absl::Status BeginStep(std::shared_ptr<const Plan> plan);
  absl::Status ServePhase(const Phase& phase);
  // Every phase of the plan: a dedicated server's step.
  absl::Status ServeStep();

 private:
  // A message of one route, and what is sent back.
  struct Served {
    const Route* route = nullptr;
    std::vector<std::byte> received;
    std::vector<float> request;  // The same as floats.
    std::vector<float> reply;
  };
  // A key row of a document: the message that holds it, and its row there.
  struct KeyRow {
    Served* message = nullptr;
    int64_t row = 0;
  };
  using KeyRows = std::map<std::pair<int32_t, int64_t>, KeyRow>;  // By document and position.
  // A query row and head with the keys its mask allows.
  struct QueryHead {
    Served* message = nullptr;
    int64_t row = 0;
    int64_t head = 0;
    std::vector<KeyRow> keys;
    std::vector<double> scores;
  };

  Tag MakeTag(const Phase& phase, MessageKind kind, int32_t source) const;
  absl::Status Receive(const Phase& phase, std::vector<Served>* served);
  std::vector<float> AsFloats(const Served& served, bool backward) const;
  absl::Status Reply(const Phase& phase, const std::vector<Served>& served);
  void Attend(const Phase& phase, const KeyRows& keys, Served* served);
  QueryHead Score(const CaTask& task, int64_t position, int64_t row, int64_t head,
                  const KeyRows& keys, Served* served) const;
  void Forward(const QueryHead& query) const;
  void Backward(const QueryHead& query) const;
  // Index in a message of a key row's k, or v, for the key/value head of query head `head`.
  int64_t KeyIndex(const KeyRow& key, int64_t head, bool value) const;

  const ModelShape shape_;
  const AttentionElement element_;
  const uint32_t epoch_;
  Transport* const transport_;
  std::shared_ptr<const Plan> plan_;
};

}  // namespace rally::testing

#endif  // RALLY_TESTS_MODEL_REFERENCE_SERVICE_H_
