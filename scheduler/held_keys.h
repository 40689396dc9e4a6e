// HeldKeys: which key/value rows of a document every rank has or will be sent in one phase.
//
// A rank holds the rows it is home of and those any of its tasks needs. Rows it holds already cost
// nothing to use again, which is what a planner looks for. Ranges are disjoint and do not touch.
//
// Thread-compatible.
#ifndef RALLY_SCHEDULER_HELD_KEYS_H_
#define RALLY_SCHEDULER_HELD_KEYS_H_

#include <cstddef>
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

  explicit HeldKeys(size_t documents) : documents_(documents) {}

  // The rank has rows [begin, end) of the document from now on.
  void Hold(int32_t document, int32_t rank, int64_t begin, int64_t end);

  // Rows of [begin, end) that the rank does not have.
  int64_t Missing(int32_t document, int32_t rank, int64_t begin, int64_t end) const;

  // Everyone who has rows of the document, in order of their first.
  absl::Span<const Holder> holders(int32_t document) const { return documents_[document].holders; }

  // Those rows of the document that the rank has, ascending; empty: none.
  absl::Span<const RowRange> ranges(int32_t document, int32_t rank) const;

 private:
  struct Document {
    absl::InlinedVector<Holder, 1> holders;
    // (rank, place among holders), ascending: hundreds hold rows of the longest documents, and are
    // looked up for every move that is thought of. Only while there are many.
    std::vector<std::pair<int32_t, size_t>> by_rank;
  };

  static void Add(int32_t rank, Document* document);
  // The rank's place among the holders, or their number when it is none.
  static size_t Find(int32_t rank, const Document& document);

  std::vector<Document> documents_;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_HELD_KEYS_H_
