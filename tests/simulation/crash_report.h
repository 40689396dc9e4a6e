// CrashReport: tells which seed was played when a check or a signal ends the program.
//
// One at a time, on one thread.
#ifndef RALLY_TESTS_SIMULATION_CRASH_REPORT_H_
#define RALLY_TESTS_SIMULATION_CRASH_REPORT_H_

#include <cstdint>

#include "tests/simulation/trace.h"

namespace rally::simulation {

// While it lives, SIGABRT and SIGSEGV print the seed, how to replay it and the trace's last lines
// to standard error; then they do what they did before.
class CrashReport {
 public:
  // `trace` is borrowed.
  CrashReport(uint64_t seed, const Trace* trace);
  ~CrashReport();
  CrashReport(const CrashReport&) = delete;
  CrashReport& operator=(const CrashReport&) = delete;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_CRASH_REPORT_H_
