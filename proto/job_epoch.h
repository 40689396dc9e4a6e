// Which epoch of which job a control message is about.
#ifndef RALLY_PROTO_JOB_EPOCH_H_
#define RALLY_PROTO_JOB_EPOCH_H_

#include "rally/v1/cluster.pb.h"

namespace rally {

// Of any message about a job; the message's own. An empty one of others.
const v1::JobEpoch& EpochOf(const v1::CoordinatorMessage& message);

inline bool SameEpoch(const v1::JobEpoch& a, const v1::JobEpoch& b) {
  return a.job_id() == b.job_id() && a.epoch() == b.epoch();
}

}  // namespace rally

#endif  // RALLY_PROTO_JOB_EPOCH_H_
