// From absl::Status to what gRPC sends; the codes are the same numbers.
#ifndef RALLY_SERVICES_COORDINATOR_GRPC_STATUS_H_
#define RALLY_SERVICES_COORDINATOR_GRPC_STATUS_H_

#include <string>

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

namespace rally {

inline grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_GRPC_STATUS_H_
