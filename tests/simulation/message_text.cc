#include "tests/simulation/message_text.h"

#include <absl/strings/str_cat.h>

namespace rally::simulation {
namespace {

std::string TextOf(const v1::Standing& standing) {
  if (standing.ByteSizeLong() == 0) return "";
  return absl::StrCat(", standing in round ", standing.round(), standing.begun() ? ", begun" : "",
                      standing.complete() ? ", complete" : "", " at step ", standing.step());
}

}  // namespace

std::string TextOf(const v1::JobEpoch& epoch) {
  return absl::StrCat(epoch.job_id(), "/", epoch.epoch());
}

std::string TextOf(const v1::MemberMessage& message) {
  switch (message.message_case()) {
    case v1::MemberMessage::kHello:
      return absl::StrCat("hello from ", message.hello().member_id(), ", process ",
                          message.hello().process_id(), ", holding ",
                          TextOf(message.hello().current()));
    case v1::MemberMessage::kHeartbeat:
      return "heartbeat";
    case v1::MemberMessage::kPrepared:
      return absl::StrCat("prepared ", TextOf(message.prepared().job()),
                          TextOf(message.prepared().standing()));
    case v1::MemberMessage::kReady:
      return absl::StrCat("ready ", TextOf(message.ready().job()), " at step ",
                          message.ready().step());
    case v1::MemberMessage::kRoundDone:
      return absl::StrCat("done ", TextOf(message.round_done().job()), " round ",
                          message.round_done().round());
    case v1::MemberMessage::kCommitted:
      return absl::StrCat("committed ", TextOf(message.committed().job()), " round ",
                          message.committed().round(), " step ", message.committed().step());
    case v1::MemberMessage::kCheckpointWritten:
      return absl::StrCat("checkpoint of ", TextOf(message.checkpoint_written().job()), " step ",
                          message.checkpoint_written().step(), ", code ",
                          message.checkpoint_written().code());
    case v1::MemberMessage::kTrouble:
      return absl::StrCat(message.trouble().failed() ? "failed transport of " : "trouble of ",
                          TextOf(message.trouble().job()), ": ", message.trouble().message());
    case v1::MemberMessage::kReleased:
      return absl::StrCat("released ", TextOf(message.released().job()));
    case v1::MemberMessage::kFailed:
      return absl::StrCat("failed ", TextOf(message.failed().job()), ": ",
                          message.failed().message());
    case v1::MemberMessage::kLeaving:
      return "leaving";
    default:
      return absl::StrCat("message ", message.message_case());
  }
}

std::string TextOf(const v1::CoordinatorMessage& message) {
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kWelcome:
      return "welcome";
    case v1::CoordinatorMessage::kPrepare:
      return absl::StrCat("prepare ", TextOf(message.prepare().job()), " rank ",
                          message.prepare().rank());
    case v1::CoordinatorMessage::kConnect:
      return absl::StrCat("connect ", TextOf(message.connect().job()),
                          message.connect().has_resumed_round()
                              ? absl::StrCat(", resuming round ", message.connect().resumed_round())
                              : "");
    case v1::CoordinatorMessage::kRegroup:
      return absl::StrCat("regroup ", TextOf(message.regroup().job()), " as epoch ",
                          message.regroup().epoch(), " rank ", message.regroup().rank(), " of ",
                          message.regroup().ranks(), message.regroup().report() ? ", report" : "",
                          ": ", message.regroup().reason());
    case v1::CoordinatorMessage::kPlan:
      return absl::StrCat("plan ", TextOf(message.plan().job()), " round ",
                          message.plan().plan().round(), " step ", message.plan().plan().step());
    case v1::CoordinatorMessage::kCommit:
      return absl::StrCat("commit ", TextOf(message.commit().job()), " round ",
                          message.commit().round(),
                          message.commit().checkpoint() ? " and save" : "");
    case v1::CoordinatorMessage::kRelease:
      return absl::StrCat(message.release().abort() ? "abort " : "release ",
                          TextOf(message.release().job()));
    default:
      return absl::StrCat("message ", message.message_case());
  }
}

}  // namespace rally::simulation
