#include "scheduler/document_deferral.h"

#include <algorithm>
#include <deque>

#include "common/check.h"

namespace rally {
namespace {

using Queue = std::deque<Document>;

int64_t TokensOf(const GlobalBatch& batch) {
  int64_t tokens = 0;
  for (const std::vector<Document>& group : batch.groups) {
    for (const Document& document : group) tokens += document.tokens;
  }
  return tokens;
}

// The batch being filled.
class OpenBatch {
 public:
  explicit OpenBatch(int64_t tokens) : tokens_(tokens), room_(tokens) {}

  bool Holds(const Document& document) const { return document.tokens <= room_; }
  void Add(const Document& document) {
    documents_.push_back(document);
    room_ -= document.tokens;
  }
  // Moves `release` documents from the queue into the batch, if they wait and there is room.
  bool Release(int64_t release, Queue* queue) {
    if (static_cast<int64_t>(queue->size()) < release) return false;
    int64_t tokens = 0;
    for (int64_t i = 0; i < release; ++i) tokens += (*queue)[static_cast<size_t>(i)].tokens;
    const bool empty = room_ == tokens_;
    if (tokens > room_ && !empty) return false;
    for (; release > 0 && Holds(queue->front()); --release) {
      Add(queue->front());
      queue->pop_front();
    }
    return true;
  }
  std::vector<Document> Take() { return std::move(documents_); }

 private:
  const int64_t tokens_;
  int64_t room_;
  std::vector<Document> documents_;
};

}  // namespace

DeferredBatches DeferLongDocuments(absl::Span<const GlobalBatch> batches,
                                   const DeferralOptions& options) {
  RALLY_CHECK(
      options.release >= 1 && std::is_sorted(options.thresholds.begin(), options.thresholds.end()),
      "deferral options");
  std::deque<Document> arriving;
  for (const GlobalBatch& batch : batches) {
    for (const std::vector<Document>& group : batch.groups) {
      arriving.insert(arriving.end(), group.begin(), group.end());
    }
  }
  std::vector<Queue> queues(options.thresholds.size());
  DeferredBatches deferred;
  for (const GlobalBatch& batch : batches) {
    OpenBatch open(TokensOf(batch));
    std::vector<bool> released(queues.size());
    for (size_t q = queues.size(); q > 0; --q) {
      released[q - 1] = open.Release(options.release, &queues[q - 1]);
    }
    while (!arriving.empty()) {
      const Document document = arriving.front();
      const auto queue = static_cast<size_t>(
          std::upper_bound(options.thresholds.begin(), options.thresholds.end(), document.tokens) -
          options.thresholds.begin());
      if (queue == 0 && !open.Holds(document)) break;
      arriving.pop_front();
      if (queue == 0) {
        open.Add(document);
      } else {
        queues[queue - 1].push_back(document);
        if (!released[queue - 1]) {
          released[queue - 1] = open.Release(options.release, &queues[queue - 1]);
        }
      }
    }
    deferred.batches.push_back({{open.Take()}, batch.next_position});
  }
  for (const Queue& queue : queues) {
    deferred.left.insert(deferred.left.end(), queue.begin(), queue.end());
  }
  deferred.left.insert(deferred.left.end(), arriving.begin(), arriving.end());
  return deferred;
}

}  // namespace rally
