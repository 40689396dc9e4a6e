// BenchRank: one rank of a RankGroup, inside its own process.
//
// Speaks over `fd` (pipe_message.h): sends v1::Prepared, receives v1::Connect, sends v1::Ready,
// then receives v1::Plan and answers v1::RoundDone until an empty message or the end of the stream.
// An error is answered by v1::MemberFailed; answers are wrapped in v1::MemberMessage.
#ifndef RALLY_TESTS_BENCH_BENCH_RANK_H_
#define RALLY_TESTS_BENCH_BENCH_RANK_H_

#include <cstdint>

#include "tests/bench/rank_group.h"

namespace rally::bench {

// Returns the process's exit code.
int RunBenchRank(int fd, int32_t rank, const RankGroupOptions& options);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_BENCH_RANK_H_
