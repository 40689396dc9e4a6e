// DocumentPasses: follows the documents of a plan through its pipeline stages, for CheckPlan.
//
// A document passes stage 0, 1, ... forward, then the last stage, the one before, ... backward, as
// the same shards in the same rows of the same replicas. A plan without stages is one stage that
// every document passes once, in both directions at once.
//
// One thread; the plan is borrowed.
#ifndef RALLY_SCHEDULER_DOCUMENT_PASSES_H_
#define RALLY_SCHEDULER_DOCUMENT_PASSES_H_

#include <cstdint>
#include <vector>

#include <absl/status/status.h>
#include <absl/types/span.h>

#include "scheduler/plan.h"
#include "scheduler/shard_index.h"

namespace rally {

class DocumentPasses {
 public:
  // The plan's workers, stages and document count are valid.
  explicit DocumentPasses(const Plan& plan);

  // Takes the plan's next micro-batch, whose shards tile its documents. InvalidArgument names the
  // document that is out of order, on two stages, or in other places than before.
  absl::Status Visit(const ShardIndex& index, Passes passes);

  // After the last micro-batch: every document has passed every stage.
  absl::Status Finish() const;

 private:
  struct Progress {
    int32_t forward = 0;  // Stages passed.
    int32_t backward = 0;
    std::vector<ShardPlace> places;  // As first seen, with the replica as home.
  };

  absl::Status CheckPasses(Passes passes) const;
  absl::Status VisitDocument(absl::Span<const ShardPlace> places, Passes passes);
  absl::Status Advance(int32_t document, int32_t stage, Passes passes);

  const Plan* const plan_;
  std::vector<Progress> progress_;  // [documents]
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_DOCUMENT_PASSES_H_
