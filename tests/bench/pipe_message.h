// PipeMessage: length-prefixed messages over a socket pair, for benches that fork their own ranks.
//
// Blocking, with a deadline on reads. Threads: one user per end.
#ifndef RALLY_TESTS_BENCH_PIPE_MESSAGE_H_
#define RALLY_TESTS_BENCH_PIPE_MESSAGE_H_

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

namespace rally::bench {

// Unavailable when the peer has gone.
absl::Status WritePipeMessage(int fd, const std::string& message);
// Unavailable when the peer has gone, DeadlineExceeded after `timeout` without a byte.
absl::StatusOr<std::string> ReadPipeMessage(int fd, absl::Duration timeout);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_PIPE_MESSAGE_H_
