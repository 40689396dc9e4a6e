// Made-up tokens for benches: they depend on their place alone, so no dataset is needed.
#ifndef RALLY_TESTS_BENCH_MADE_UP_TOKENS_H_
#define RALLY_TESTS_BENCH_MADE_UP_TOKENS_H_

#include <cstdint>

#include <absl/types/span.h>

namespace rally::bench {

// Tokens [begin, begin + out.size()) of document `source`, each in [0, vocabulary).
inline void MakeUpTokens(int64_t vocabulary, int64_t source, int64_t begin,
                         absl::Span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint64_t x =
        static_cast<uint64_t>(source) * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(begin) + i;
    x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9u;
    out[i] = static_cast<int32_t>((x ^ (x >> 29)) % static_cast<uint64_t>(vocabulary));
  }
}

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_MADE_UP_TOKENS_H_
