// SpreadLoads: seats documents on groups of workers so that the largest load is small.
//
// Longest processing time first: the documents of the largest groups, then those of the largest
// load, each to the group whose most loaded worker has least, among those whose workers have room
// for its tokens. Groups are aligned: a group of g workers begins at a multiple of g. Pure,
// deterministic. Cost: documents * workers * micro-batches.
#ifndef RALLY_SCHEDULER_LOAD_SPREAD_H_
#define RALLY_SCHEDULER_LOAD_SPREAD_H_

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/types/span.h>

namespace rally {

struct DocumentLoad {
  int64_t tokens = 0;
  double load = 0.0;  // Of the whole document, which its group shares evenly.
  int32_t group = 1;  // Workers that hold it together, at most all.
};

struct DocumentSeat {
  int32_t micro_batch = 0;
  int32_t first_worker = 0;

  friend bool operator==(const DocumentSeat&, const DocumentSeat&) = default;
};

// One seat per document, in order; none when a document finds no room under `token_limit` tokens
// per worker and micro-batch. Where loads are tokens, groups are alike and the limit is twice the
// mean, every document that fits an empty group finds room.
std::optional<std::vector<DocumentSeat>> SpreadLoads(absl::Span<const DocumentLoad> documents,
                                                     int32_t micro_batches, int32_t workers,
                                                     int64_t token_limit);

}  // namespace rally

#endif  // RALLY_SCHEDULER_LOAD_SPREAD_H_
