// SequenceSet: which of a peer's sequence numbers have been seen, whatever their order.
//
// Takes memory by the gaps between them, not by their number. Not thread-safe.
#ifndef RALLY_WORKERS_TRANSPORT_SEQUENCE_SET_H_
#define RALLY_WORKERS_TRANSPORT_SEQUENCE_SET_H_

#include <cstddef>
#include <cstdint>
#include <map>

namespace rally {

class SequenceSet {
 public:
  // False when it was there already.
  bool Insert(uint64_t sequence);

  size_t runs() const { return runs_.size(); }

 private:
  std::map<uint64_t, uint64_t> runs_;  // First to last, both included; neighbours are joined.
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_SEQUENCE_SET_H_
