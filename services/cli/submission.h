// Submission: a job file made ready to be sent.
#ifndef RALLY_SERVICES_CLI_SUBMISSION_H_
#define RALLY_SERVICES_CLI_SUBMISSION_H_

#include <optional>
#include <string>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "common/shutdown.h"
#include "rally/v1/jobs.pb.h"

namespace rally {

// Reads and checks a job file. Its relative paths become absolute, from the current directory. The
// id is `id`, or the file's, or made of the file's name and `now`. Errors as ReadJobFile; a bad id
// is InvalidArgument.
absl::StatusOr<v1::SubmitJobRequest> MakeSubmission(const std::string& job_path,
                                                    const std::string& id, absl::Time now);

// The bigram entropy of the dataset in nats; nothing when it cannot be read from here or has none.
// Takes as long as reading it all does; Cancelled when shutdown is requested meanwhile or was
// before.
absl::StatusOr<std::optional<double>> BigramEntropyOf(const std::string& dataset_path,
                                                      const ShutdownSignal& shutdown);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_SUBMISSION_H_
