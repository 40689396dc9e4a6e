// Cores: which of this machine's cores this process may run on, and how many it may keep busy.
//
// The two differ in a container that is given a share of the machine's time and not cores of its
// own. Free functions, any thread.
#ifndef RALLY_COMMON_CORES_H_
#define RALLY_COMMON_CORES_H_

#include <string>
#include <vector>

namespace rally {

// Cores that the calling thread and those it makes may run on, ascending; never empty.
std::vector<int> AllowedCores();

// As many as threads should compute at a time: AllowedCores(), but no more than the control groups
// give time for. At least 1.
int UsableCores();

// The tightest limit of CPU time, in cores, that is set on this process's control group or one
// above it, as far as they can be seen from here: cpu.max of version 2, and cpu.cfs_quota_us over
// cpu.cfs_period_us of version 1. Infinity where there is none. Reads below `root`, whose proc/self
// says which groups and where they are mounted.
double CpuTimeLimit(const std::string& root = "/");

// `cores` cut to a limit as above, rounded up.
int CutToLimit(int cores, double limit);

}  // namespace rally

#endif  // RALLY_COMMON_CORES_H_
