#include "scheduler/batch_split.h"

#include <algorithm>
#include <cstddef>

#include "scheduler/integer_math.h"

namespace rally {
namespace {

constexpr int64_t kMostOver = 64;  // A micro-batch may be larger by one part in so many.

double PairsOf(const DocumentShard& shard, AttentionMask mask) {
  return static_cast<double>(AllowedPairs(shard.begin, shard.end, 0, shard.end, mask));
}

void SortLongestFirst(std::vector<DocumentShard>* documents) {
  std::sort(documents->begin(), documents->end(),
            [](const DocumentShard& a, const DocumentShard& b) {
              return a.tokens() != b.tokens() ? a.tokens() > b.tokens() : a.document < b.document;
            });
}

// A part of the batch that documents are spread over.
struct Part {
  int64_t tokens_left = 0;
  double pairs_left = 0.0;
  std::vector<DocumentShard> documents;

  void Take(const DocumentShard& document, double pairs) {
    tokens_left -= document.tokens();
    pairs_left -= pairs;
    documents.push_back(document);
  }
};

// Gives each of `documents`, longest first, to the part with the most work left per token among
// those that have its tokens; to the one with the most tokens left when none has.
void Spread(const std::vector<DocumentShard>& documents, AttentionMask mask,
            std::vector<Part>* parts) {
  for (const DocumentShard& document : documents) {
    Part* best = nullptr;
    double best_need = 0.0;
    Part* emptiest = &parts->front();
    for (Part& part : *parts) {
      if (part.tokens_left > emptiest->tokens_left) emptiest = &part;
      if (part.tokens_left < document.tokens()) continue;
      const double need = part.pairs_left / static_cast<double>(part.tokens_left);
      if (best != nullptr && need <= best_need) continue;
      best = &part;
      best_need = need;
    }
    (best != nullptr ? best : emptiest)->Take(document, PairsOf(document, mask));
  }
}

class Splitter {
 public:
  Splitter(int32_t workers, bool ping_pong, AttentionMask mask)
      : workers_(workers), ping_pong_(ping_pong), mask_(mask) {}

  // Documents of each micro-batch, where those of all groups may go anywhere.
  std::vector<Part> MixGroups(const std::vector<std::vector<DocumentShard>>& groups,
                              int64_t most_tokens) const {
    std::vector<DocumentShard> all;
    for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
    SortLongestFirst(&all);
    int64_t tokens = 0;
    double pairs = 0.0;
    for (const DocumentShard& document : all) {
      tokens += document.tokens();
      pairs += PairsOf(document, mask_);
    }
    const double density = pairs / static_cast<double>(tokens);
    std::vector<Part> parts;
    for (int64_t left = tokens; left > 0; left -= most_tokens) {
      Part& part = parts.emplace_back();
      part.tokens_left = std::min(left, most_tokens);
      part.pairs_left = density * static_cast<double>(part.tokens_left);
    }
    Spread(all, mask_, &parts);
    return parts;
  }

  std::array<PhaseDocuments, kNanoBatches> SplitMicroBatch(
      std::vector<DocumentShard> documents) const {
    SortLongestFirst(&documents);
    int64_t tokens = 0;
    double pairs = 0.0;
    for (const DocumentShard& document : documents) {
      tokens += document.tokens();
      pairs += PairsOf(document, mask_);
    }
    std::array<PhaseDocuments, kNanoBatches> phases;
    const int64_t half = (tokens + 1) / 2;
    if (!ping_pong_) {
      phases[0].documents = std::move(documents);
    } else if (documents.front().tokens() > half) {
      const DocumentShard longest = documents.front();
      phases[0].documents = {{longest.document, 0, half}};
      documents.front().begin = half;
      SortLongestFirst(&documents);
      phases[1].documents = std::move(documents);
    } else {
      std::vector<Part> parts = {{half, pairs / 2.0, {}}, {tokens - half, pairs / 2.0, {}}};
      Spread(documents, mask_, &parts);
      phases[0].documents = std::move(parts[0].documents);
      phases[1].documents = std::move(parts[1].documents);
    }
    int64_t ping = 0;
    for (const DocumentShard& document : phases[0].documents) ping += document.tokens();
    for (int64_t worker = 0; worker < workers_; ++worker) {
      phases[0].tokens.push_back(EvenPart(ping, workers_, worker));
      phases[1].tokens.push_back(EvenPart(tokens, workers_, worker) - phases[0].tokens.back());
    }
    return phases;
  }

 private:
  const int32_t workers_;
  const bool ping_pong_;
  const AttentionMask mask_;
};

// The batch's groups as whole documents, and the documents in order of arrival.
std::vector<std::vector<DocumentShard>> ReadGroups(const GlobalBatch& batch,
                                                   std::vector<Document>* documents) {
  std::vector<std::vector<DocumentShard>> groups;
  for (const std::vector<Document>& group : batch.groups) {
    std::vector<DocumentShard>& shards = groups.emplace_back();
    for (const Document& document : group) {
      shards.push_back({static_cast<int32_t>(documents->size()), 0, document.tokens});
      documents->push_back(document);
    }
  }
  return groups;
}

}  // namespace

BatchSplit SplitBatch(const GlobalBatch& batch, const BatchShape& shape, int32_t workers,
                      bool ping_pong, AttentionMask mask) {
  BatchSplit split;
  const auto groups = ReadGroups(batch, &split.documents);
  const Splitter splitter(workers, ping_pong, mask);
  const int64_t most_tokens = workers * shape.chunk_tokens;
  std::vector<Part> parts = splitter.MixGroups(groups, most_tokens);
  const bool fits = std::all_of(parts.begin(), parts.end(), [most_tokens](const Part& part) {
    return !part.documents.empty() && part.tokens_left >= -most_tokens / kMostOver;
  });
  if (!fits) {
    const auto at_once =
        static_cast<size_t>(std::max<int64_t>(1, workers / shape.chunks_per_group()));
    parts.assign((groups.size() + at_once - 1) / at_once, {});
    for (size_t group = 0; group < groups.size(); ++group) {
      std::vector<DocumentShard>& documents = parts[group / at_once].documents;
      documents.insert(documents.end(), groups[group].begin(), groups[group].end());
    }
  }
  for (Part& part : parts) {
    split.micro_batches.push_back(splitter.SplitMicroBatch(std::move(part.documents)));
  }
  return split;
}

}  // namespace rally
