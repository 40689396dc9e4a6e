// Trace: what has happened in a simulation: the hash of all of it and the last lines.
//
// Equal hashes mean equal runs. One thread.
#ifndef RALLY_TESTS_SIMULATION_TRACE_H_
#define RALLY_TESTS_SIMULATION_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>

#include "tests/simulation/random.h"

namespace rally::simulation {

class Trace {
 public:
  // `lines` at most are kept.
  explicit Trace(size_t lines) : kept_(lines) {}

  void Note(absl::Duration moment, std::string text) {
    const int64_t time = absl::ToInt64Microseconds(moment);
    hash_ = Mix(hash_ ^ static_cast<uint64_t>(time));
    for (const char letter : text) {
      hash_ = (hash_ ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
    }
    if (kept_ == 0) return;
    lines_.emplace_back(time, std::move(text));
    if (lines_.size() > kept_) lines_.pop_front();
  }

  uint64_t hash() const { return Mix(hash_); }

  std::string LastLines() const {
    std::string text;
    for (const auto& [time, line] : lines_) {
      absl::StrAppend(&text, absl::StrFormat("%12.6f  ", static_cast<double>(time) * 1e-6), line,
                      "\n");
    }
    return text;
  }

 private:
  const size_t kept_;
  uint64_t hash_ = 0xcbf29ce484222325u;
  std::deque<std::pair<int64_t, std::string>> lines_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_TRACE_H_
