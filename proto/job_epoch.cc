#include "proto/job_epoch.h"

namespace rally {

const v1::JobEpoch& EpochOf(const v1::CoordinatorMessage& message) {
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kPrepare:
      return message.prepare().job();
    case v1::CoordinatorMessage::kConnect:
      return message.connect().job();
    case v1::CoordinatorMessage::kPlan:
      return message.plan().job();
    case v1::CoordinatorMessage::kCommit:
      return message.commit().job();
    case v1::CoordinatorMessage::kRegroup:
      return message.regroup().job();
    case v1::CoordinatorMessage::kRelease:
      return message.release().job();
    default:
      return v1::JobEpoch::default_instance();
  }
}

}  // namespace rally
