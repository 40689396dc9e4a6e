// Admission: what a job must show before it is queued.
//
// Reads the file system; any thread.
#ifndef RALLY_SERVICES_COORDINATOR_ADMISSION_H_
#define RALLY_SERVICES_COORDINATOR_ADMISSION_H_

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "rally/v1/spec.pb.h"
#include "scheduler/job_spec.h"

namespace rally {

// InvalidArgument unless 1 to 63 lower-case letters, digits and dashes, starting with a letter.
absl::Status CheckJobId(absl::string_view job_id);

// Opens the dataset and checks that the job can train on it: it is whole, the training split has a
// target to predict, the held-out split too when validation is on, and the model's vocabulary holds
// the dataset's. Sets a vocabulary of 0. InvalidArgument, NotFound or DataLoss, naming data.path.
absl::Status CheckDataset(JobSpec* spec);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_ADMISSION_H_
