// PlannerCase: one planning input from a case file: documents that fill the chunks of some servers.
//
// A case file is a JSON array of objects; fields beside these are kept out of the way:
//   name               text, not empty, once per file
//   servers            whole number, [1, 1024]: workers that serve each other in place
//   tokens_per_worker  whole number, [1, 2^31): tokens of one worker's chunk
//   document_tokens    array of packed sequences, each an array of document lengths >= 1 in order
//                      of arrival; laid end to end they fill all chunks, in [1, 2^31) tokens
//   distca             optional; its "0.05".forward_bytes_per_token, > 0, is what the published
//                      planner (arXiv 2510.18121) moves at tolerance 0.05
//
// Pure functions but for ReadPlannerCases; any thread.
#ifndef RALLY_SERVICES_PLANNING_PLANNER_CASE_H_
#define RALLY_SERVICES_PLANNING_PLANNER_CASE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "scheduler/batch_sampler.h"
#include "scheduler/planner.h"

namespace rally {

struct PlannerCase {
  std::string name;
  int32_t servers = 1;
  BatchShape shape;   // One group: a document may span all chunks.
  GlobalBatch batch;  // Document::source numbers the documents in the file's order, from 0.
  std::optional<double> published_bytes_per_token;

  // One micro-batch, one nano-batch, of Llama-3 8B, in place. Borrows this case's batch.
  PlanInput Input() const;
};

// `name` stands for the file in messages, which read "FILE: case CASE: FIELD: what is wrong and
// what is accepted". InvalidArgument.
absl::StatusOr<std::vector<PlannerCase>> ParsePlannerCases(absl::string_view text,
                                                           absl::string_view name);

// NotFound or another error when the file cannot be read.
absl::StatusOr<std::vector<PlannerCase>> ReadPlannerCases(const std::string& path);

}  // namespace rally

#endif  // RALLY_SERVICES_PLANNING_PLANNER_CASE_H_
