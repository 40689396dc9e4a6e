// MemberMessage: what a member may say, beyond what the wire's types promise.
//
// The core counts with these figures and hands them on: sums of a round's must fit, and a position
// must be one that a dataset can have. Pure function, any thread.
#ifndef RALLY_SERVICES_COORDINATOR_MEMBER_MESSAGE_H_
#define RALLY_SERVICES_COORDINATOR_MEMBER_MESSAGE_H_

#include <absl/status/status.h>

#include "rally/v1/cluster.pb.h"

namespace rally {

// InvalidArgument that names the field, its value and the accepted range.
absl::Status CheckMemberMessage(const v1::MemberMessage& message);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_MEMBER_MESSAGE_H_
