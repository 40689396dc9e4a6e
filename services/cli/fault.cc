#include "services/cli/fault.h"

#include <csignal>
#include <optional>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "services/cli/live_process.h"
#include "services/cli/network_cut.h"
#include "services/cli/packet_loss.h"
#include "services/cli/process_image.h"
#include "services/cli/victim.h"

namespace rally {
namespace {

// Of running and standing still in turn: far below the silence after which a member is taken for
// hung.
constexpr absl::Duration kSlice = absl::Milliseconds(50);
constexpr absl::Duration kKillBound = absl::Seconds(10);

class KillFault final : public Fault {
 public:
  KillFault(std::unique_ptr<LiveProcess> victim, std::optional<ProcessImage> image)
      : victim_(std::move(victim)), image_(std::move(image)) {}

  absl::Status Run(const Interruption& /*interruption*/) override {
    RALLY_RETURN_IF_ERROR(victim_->Signal(SIGKILL));
    if (!victim_->WaitForEnd(absl::Now() + kKillBound)) {
      return absl::DeadlineExceededError(absl::StrCat("process ", victim_->pid(), " is not gone ",
                                                      absl::FormatDuration(kKillBound),
                                                      " after SIGKILL"));
    }
    if (!image_.has_value()) return absl::OkStatus();
    RALLY_ASSIGN_OR_RETURN(respawned_, image_->Start());
    return absl::OkStatus();
  }

  pid_t respawned() const override { return respawned_; }

 private:
  const std::unique_ptr<LiveProcess> victim_;
  std::optional<ProcessImage> image_;
  pid_t respawned_ = 0;
};

class StopFault final : public Fault {
 public:
  StopFault(std::unique_ptr<LiveProcess> victim, absl::Duration duration)
      : victim_(std::move(victim)), duration_(duration) {}

  absl::Status Run(const Interruption& interruption) override {
    RALLY_RETURN_IF_ERROR(victim_->Signal(SIGSTOP));
    interruption.WaitUntil(absl::Now() + duration_);
    victim_->Signal(SIGCONT).IgnoreError();  // It may have been killed.
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<LiveProcess> victim_;
  const absl::Duration duration_;
};

class SlowFault final : public Fault {
 public:
  SlowFault(std::unique_ptr<LiveProcess> victim, const FaultPlan& plan)
      : victim_(std::move(victim)),
        duration_(plan.duration),
        still_(kSlice * (1 - 1 / plan.slowdown)),
        running_(kSlice - still_) {}

  absl::Status Run(const Interruption& interruption) override {
    const absl::Time end = absl::Now() + duration_;
    RALLY_RETURN_IF_ERROR(victim_->Signal(SIGSTOP));
    while (!interruption.WaitUntil(absl::Now() + still_)) {
      // If it has ended meanwhile, that is no failure of the fault.
      if (!victim_->Signal(SIGCONT).ok() || absl::Now() >= end) return absl::OkStatus();
      if (interruption.WaitUntil(absl::Now() + running_)) return absl::OkStatus();
      if (!victim_->Signal(SIGSTOP).ok()) return absl::OkStatus();
    }
    victim_->Signal(SIGCONT).IgnoreError();
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<LiveProcess> victim_;
  const absl::Duration duration_;
  const absl::Duration still_;
  const absl::Duration running_;
};

class NetworkFault final : public Fault {
 public:
  NetworkFault(std::unique_ptr<LiveProcess> victim, std::unique_ptr<NetworkHarm> harm,
               absl::Duration duration)
      : victim_(std::move(victim)), harm_(std::move(harm)), duration_(duration) {}

  absl::Status Run(const Interruption& interruption) override {
    const absl::Status status = harm_->Harm();
    if (status.ok()) interruption.WaitUntil(absl::Now() + duration_);
    const absl::Status mended = harm_->Mend();
    return status.ok() ? mended : status;
  }

 private:
  const std::unique_ptr<LiveProcess> victim_;
  const std::unique_ptr<NetworkHarm> harm_;
  const absl::Duration duration_;
};

// `rally up` and `rally run` end with their coordinator, and so does what there is to strike.
absl::Status CheckIsOnItsOwn(const LiveProcess& victim, v1::ProcessRole role) {
  if (role != v1::PROCESS_ROLE_COORDINATOR || victim.ParentProgram() != "rally") {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("--kill: the coordinator, process ", victim.pid(),
                   ", is that of a `rally up` or `rally run`, which would end the whole cluster "
                   "with it; kill one that was started as rally-coordinator"));
}

// One that is started again must be found where it was.
absl::Status CheckKeepsItsPort(const ProcessImage& image) {
  bool after_flag = false;
  for (const std::string& argument : image.arguments()) {
    const bool listens = after_flag || absl::StartsWith(argument, "--listen=");
    after_flag = argument == "--listen";
    if (!listens || !absl::EndsWith(argument, ":0")) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "--respawn: the coordinator was started with ", argument,
        ", any free port; started again it would listen on another one. Give it a fixed port"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Fault>> MakeProcessFault(const FaultPlan& plan,
                                                        const v1::Process& victim) {
  const auto pid = static_cast<pid_t>(victim.process_id());
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<LiveProcess> process,
                         LiveProcess::Open(pid, ProgramOf(victim.role())));
  switch (plan.kind) {
    case FaultKind::kKill: {
      RALLY_RETURN_IF_ERROR(CheckIsOnItsOwn(*process, victim.role()));
      std::optional<ProcessImage> image;
      if (plan.respawn) {
        RALLY_ASSIGN_OR_RETURN(ProcessImage read, ProcessImage::Read(pid));
        RALLY_RETURN_IF_ERROR(CheckKeepsItsPort(read));
        image.emplace(std::move(read));
      }
      return std::make_unique<KillFault>(std::move(process), std::move(image));
    }
    case FaultKind::kStop:
      return std::make_unique<StopFault>(std::move(process), plan.duration);
    case FaultKind::kSlow:
      return std::make_unique<SlowFault>(std::move(process), plan);
    case FaultKind::kDrop: {
      RALLY_ASSIGN_OR_RETURN(std::unique_ptr<PacketLoss> loss,
                             PacketLoss::Prepare(pid, plan.percent));
      return std::make_unique<NetworkFault>(std::move(process), std::move(loss), plan.duration);
    }
    case FaultKind::kPartition: {
      RALLY_ASSIGN_OR_RETURN(std::unique_ptr<NetworkCut> cut, NetworkCut::Prepare(pid));
      return std::make_unique<NetworkFault>(std::move(process), std::move(cut), plan.duration);
    }
    case FaultKind::kFillDisk:
      break;
  }
  return absl::InternalError("a disk has no process");
}

}  // namespace rally
