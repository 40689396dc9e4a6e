// The UCX transport between two processes of this machine: latency and bandwidth, over shared
// memory, shared memory with direct reads, and TCP on the loopback device; without and with
// checksums in turns, beside what the bytes cost at least.
#ifndef RALLY_TESTS_BENCH_TRANSPORT_BENCH_H_
#define RALLY_TESTS_BENCH_TRANSPORT_BENCH_H_

#include <ostream>

#include <absl/status/status.h>

namespace rally::bench {

// Prints the floor and two lines per way to `out`. Forks, so it must run before the process has
// other threads.
absl::Status RunTransportBench(std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_TRANSPORT_BENCH_H_
