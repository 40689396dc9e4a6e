#include "tests/simulation/crash_report.h"

#include <csignal>
#include <cstdio>

namespace rally::simulation {
namespace {

using Handler = void (*)(int);

uint64_t current_seed = 0;
const Trace* current_trace = nullptr;
Handler before_abort = SIG_DFL;
Handler before_segv = SIG_DFL;

// The program is lost: what is not safe in a handler at worst prints nothing.
void Report(int signal) {
  std::signal(SIGABRT, before_abort);
  std::signal(SIGSEGV, before_segv);
  std::fprintf(stderr, "seed %llu: signal %d; replay: cluster_simulation --seed=%llu\n",
               static_cast<unsigned long long>(current_seed), signal,
               static_cast<unsigned long long>(current_seed));
  std::fflush(stderr);
  std::fputs(current_trace->LastLines().c_str(), stderr);
  std::raise(signal);
}

}  // namespace

CrashReport::CrashReport(uint64_t seed, const Trace* trace) {
  current_seed = seed;
  current_trace = trace;
  before_abort = std::signal(SIGABRT, Report);
  before_segv = std::signal(SIGSEGV, Report);
}

CrashReport::~CrashReport() {
  std::signal(SIGABRT, before_abort);
  std::signal(SIGSEGV, before_segv);
}

}  // namespace rally::simulation
