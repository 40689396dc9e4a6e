// The one bridge between wire messages and types; it validates what comes in.
//
// Pure functions, any thread. From* return InvalidArgument that names the field (as the job file
// does), its value and the accepted range.
#ifndef RALLY_PROTO_CONVERT_H_
#define RALLY_PROTO_CONVERT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "rally/v1/plan.pb.h"
#include "rally/v1/spec.pb.h"
#include "scheduler/job_spec.h"
#include "scheduler/plan.h"

namespace rally {

// Absent fields take JobSpec's defaults; the result has passed ValidateJobSpec.
absl::StatusOr<JobSpec> FromProto(const v1::JobSpec& message);
// Every field set; `paced` only of a paced job.
v1::JobSpec ToProto(const JobSpec& spec);

// Checks sizes of parallel arrays and index ranges; CheckPlan proves the rest.
absl::StatusOr<Plan> FromProto(const v1::Plan& message);
v1::Plan ToProto(const Plan& plan);

DataPosition FromProto(const v1::DataPosition& message);
v1::DataPosition ToProto(const DataPosition& position);

google::protobuf::Timestamp ToProto(absl::Time time);
absl::Time FromProto(const google::protobuf::Timestamp& message);
google::protobuf::Duration ToProto(absl::Duration duration);
absl::Duration FromProto(const google::protobuf::Duration& message);

}  // namespace rally

#endif  // RALLY_PROTO_CONVERT_H_
