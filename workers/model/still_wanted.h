// StillWanted: how long work on files learns that nobody wants it any more.
#ifndef RALLY_WORKERS_MODEL_STILL_WANTED_H_
#define RALLY_WORKERS_MODEL_STILL_WANTED_H_

#include <cstddef>
#include <functional>

#include <absl/status/status.h>

namespace rally {

// Called every kWantedBytes by the thread that works. An error ends the work, which returns it.
// Null: it is wanted to its end.
using StillWanted = std::function<absl::Status()>;

inline constexpr size_t kWantedBytes = size_t{4} << 20;

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_STILL_WANTED_H_
