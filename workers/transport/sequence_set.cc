#include "workers/transport/sequence_set.h"

#include <iterator>

namespace rally {

bool SequenceSet::Insert(uint64_t sequence) {
  auto after = runs_.upper_bound(sequence);
  auto before = after == runs_.begin() ? runs_.end() : std::prev(after);
  if (before != runs_.end() && sequence <= before->second) return false;
  if (before == runs_.end() || before->second + 1 != sequence) {
    before = runs_.emplace_hint(after, sequence, sequence);
  }
  before->second = sequence;
  if (after != runs_.end() && after->first == sequence + 1) {
    before->second = after->second;
    runs_.erase(after);
  }
  return true;
}

}  // namespace rally
