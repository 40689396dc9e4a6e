// Deferral of long documents, in the manner of WLB-LLM (arXiv 2503.17924): a document too long to
// be balanced by the others of its batch waits until there is one for every group of workers;
// documents that come later take its place.
//
// Not a Planner: a plan is a function of its own batch, and a checkpoint's DataPosition says which
// documents have been trained on. Deferral moves documents between batches and keeps some back, so
// a job that used it would need the queue in every checkpoint and would train on another order of
// the data. It is here for the simulator, which compares planners over whole sequences of batches.
//
// Pure function; any thread.
#ifndef RALLY_SCHEDULER_DOCUMENT_DEFERRAL_H_
#define RALLY_SCHEDULER_DOCUMENT_DEFERRAL_H_

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/batch_sampler.h"

namespace rally {

struct DeferralOptions {
  // A document of at least thresholds[i] tokens, and less than thresholds[i + 1], waits in queue i.
  // Ascending.
  std::vector<int64_t> thresholds;
  // Documents that leave a queue together, at most once a batch: the groups of workers that a batch
  // fills. At least 1.
  int64_t release = 1;
};

struct DeferredBatches {
  // As many as came in, each with at most the tokens of the one in its place; while documents last,
  // the next one that does not wait would exceed them. Each is one group, more than a planner that
  // goes by groups can take: they are for variable_length and hybrid, at a chunk_token_limit of 2.
  std::vector<GlobalBatch> batches;
  // Those still in a queue, shortest queue first, then those that never came up, in order.
  std::vector<Document> left;
};

// Queues are emptied longest documents first. Where one release is more than a whole batch, as many
// leave as the batch holds.
DeferredBatches DeferLongDocuments(absl::Span<const GlobalBatch> batches,
                                   const DeferralOptions& options);

}  // namespace rally

#endif  // RALLY_SCHEDULER_DOCUMENT_DEFERRAL_H_
