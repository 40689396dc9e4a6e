// HeldKeys: which key/value rows of a document every rank has or will be sent in one phase.
//
// A rank holds the rows it is home of and those any of its tasks needs. Rows it holds already cost
// nothing to use again, which is what a planner looks for. Ranges are disjoint and do not touch.
//
// Thread-compatible.
#ifndef RALLY_SCHEDULER_HELD_KEYS_H_
#define RALLY_SCHEDULER_HELD_KEYS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include <absl/container/inlined_vector.h>
#include <absl/types/span.h>

namespace rally {

struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t rows() const { return end - begin; }
  friend bool operator==(const RowRange&, const RowRange&) = default;
};

class HeldKeys {
 public:
  struct Holder {
    int32_t rank = 0;
    absl::InlinedVector<RowRange, 1> ranges;  // Ascending.
  };

  explicit HeldKeys(size_t documents) : holders_(documents) {}

  // The rank has rows [begin, end) of the document from now on.
  void Hold(int32_t document, int32_t rank, int64_t begin, int64_t end);

  // Rows of [begin, end) that the rank does not have.
  int64_t Missing(int32_t document, int32_t rank, int64_t begin, int64_t end) const;

  // Everyone who has rows of the document, in order of their first.
  absl::Span<const Holder> holders(int32_t document) const { return holders_[document]; }

 private:
  std::vector<absl::InlinedVector<Holder, 1>> holders_;  // By document.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_HELD_KEYS_H_
