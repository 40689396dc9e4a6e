#include "scheduler/load_spread.h"

#include <algorithm>
#include <numeric>

namespace rally {
namespace {

// Shares of documents are fractions of tokens; a sum of them may be off by this much.
constexpr double kRounding = 1e-6;

// What the workers of one micro-batch hold so far. [workers]
struct Held {
  std::vector<double> load;
  std::vector<double> tokens;
};

double Largest(const std::vector<double>& values, int32_t first, int32_t count) {
  return *std::max_element(values.begin() + first, values.begin() + first + count);
}

std::vector<size_t> LargestFirst(absl::Span<const DocumentLoad> documents) {
  std::vector<size_t> order(documents.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [documents](size_t a, size_t b) {
    if (documents[a].group != documents[b].group) return documents[a].group > documents[b].group;
    return documents[a].load > documents[b].load;
  });
  return order;
}

}  // namespace

std::optional<std::vector<DocumentSeat>> SpreadLoads(absl::Span<const DocumentLoad> documents,
                                                     int32_t micro_batches, int32_t workers,
                                                     int64_t token_limit) {
  const auto size = static_cast<size_t>(workers);
  std::vector<Held> held(static_cast<size_t>(micro_batches),
                         {std::vector<double>(size), std::vector<double>(size)});
  std::vector<DocumentSeat> seats(documents.size());
  for (const size_t i : LargestFirst(documents)) {
    const DocumentLoad& document = documents[i];
    const double tokens = static_cast<double>(document.tokens) / document.group;
    const double room = static_cast<double>(token_limit) - tokens + kRounding;
    std::optional<DocumentSeat> best;
    double best_load = 0.0;
    for (int32_t m = 0; m < micro_batches; ++m) {
      for (int32_t first = 0; first + document.group <= workers; first += document.group) {
        const double load = Largest(held[m].load, first, document.group);
        if (best.has_value() && load >= best_load) continue;
        if (Largest(held[m].tokens, first, document.group) > room) continue;
        best = DocumentSeat{m, first};
        best_load = load;
      }
    }
    if (!best.has_value()) return std::nullopt;
    seats[i] = *best;
    Held& at = held[static_cast<size_t>(best->micro_batch)];
    for (int32_t w = best->first_worker; w < best->first_worker + document.group; ++w) {
      at.load[static_cast<size_t>(w)] += document.load / document.group;
      at.tokens[static_cast<size_t>(w)] += tokens;
    }
  }
  return seats;
}

}  // namespace rally
