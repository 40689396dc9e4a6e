// Jobs as text for people.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_CLI_JOB_TEXT_H_
#define RALLY_SERVICES_CLI_JOB_TEXT_H_

#include <string>

#include <absl/time/time.h>

#include "rally/v1/jobs.pb.h"

namespace rally {

// A table, one line per job, with a heading.
std::string JobTable(const v1::ListJobsResponse& jobs, absl::Time now);

// All about one job: status, conditions, last reports, and its job file.
std::string JobDetails(const v1::Job& job, absl::Time now);

// "2026-01-31T12:00:00.123Z rank 1 info text".
std::string LogText(const v1::LogLine& line);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_JOB_TEXT_H_
