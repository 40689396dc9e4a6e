// What a job looks like while it runs: one line of text.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_CLI_PROGRESS_H_
#define RALLY_SERVICES_CLI_PROGRESS_H_

#include <string>

#include <absl/time/time.h>

#include "services/cli/job_summary.h"

namespace rally {

// "845", "12.3k", "4.6M".
std::string ShortNumber(double value);

// "45s", "2m 05s", "1h 02m".
std::string ShortDuration(absl::Duration duration);

// [#####-----] of `width` characters in all, filled by `done` in [0, 1].
std::string ProgressBar(double done, int width);

// Step, loss, tokens/s, imbalance before and after the plan, time left: without a bar when `width`
// is 0, else cut to `width` characters with a bar in what is free.
std::string ProgressLine(const JobSummary& summary, int width);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PROGRESS_H_
