#include "tests/simulation/planted_bugs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "tests/simulation/simulated_store.h"

namespace rally::simulation {
namespace {

class WrappedCore : public CorePort {
 public:
  explicit WrappedCore(const CoreOptions& options) : wrapped_(CorePort::Make(options)) {}

  const CoordinatorCore& core() const override { return wrapped_->core(); }

 protected:
  const std::unique_ptr<CorePort> wrapped_;
};

class EpochBlindCore final : public WrappedCore {
 public:
  using WrappedCore::WrappedCore;

  std::vector<Action> Apply(const Event& event, absl::Time now) override {
    Event forged = event;
    if (auto* ready = std::get_if<PlanReady>(&forged)) {
      Forge(ready->job_id, &ready->epoch);
    } else if (auto* failed = std::get_if<PlanFailed>(&forged)) {
      Forge(failed->job_id, &failed->epoch);
    } else if (auto* said = std::get_if<MemberSaid>(&forged)) {
      if (v1::JobEpoch* epoch = EpochOf(&said->message)) Forge(said->member_id, epoch);
    }
    return wrapped_->Apply(forged, now);
  }

 private:
  static v1::JobEpoch* EpochOf(v1::MemberMessage* message) {
    if (message->has_prepared()) return message->mutable_prepared()->mutable_job();
    if (message->has_ready()) return message->mutable_ready()->mutable_job();
    if (message->has_round_done()) return message->mutable_round_done()->mutable_job();
    if (message->has_committed()) return message->mutable_committed()->mutable_job();
    if (message->has_released()) return message->mutable_released()->mutable_job();
    if (message->has_failed()) return message->mutable_failed()->mutable_job();
    return nullptr;
  }

  void Forge(const std::string& job_id, uint32_t* epoch) const {
    const auto found = core().jobs().find(job_id);
    if (found != core().jobs().end()) *epoch = found->second.job.status().epoch();
  }
  void Forge(const std::string& member_id, v1::JobEpoch* epoch) const {
    const auto found = core().members().members().find(member_id);
    if (found == core().members().members().end() || found->second.job_id.empty()) return;
    epoch->set_job_id(found->second.job_id);
    epoch->set_epoch(found->second.epoch);
  }
};

class RepeatingCore final : public WrappedCore {
 public:
  using WrappedCore::WrappedCore;

  std::vector<Action> Apply(const Event& event, absl::Time now) override {
    std::vector<Action> actions = wrapped_->Apply(event, now);
    if (!std::holds_alternative<PlanReady>(event)) return actions;
    std::vector<Action> more = wrapped_->Apply(event, now);
    std::move(more.begin(), more.end(), std::back_inserter(actions));
    return actions;
  }
};

class EpochBlindRunner final : public MemberRunner {
 public:
  using MemberRunner::MemberRunner;

 private:
  bool Concerns(const Held& /*held*/, const v1::JobEpoch& /*epoch*/) const override { return true; }
};

class GreedyRunner final : public MemberRunner {
 public:
  using MemberRunner::MemberRunner;

 private:
  bool Takes(int64_t /*round*/) const override { return true; }
};

class CredulousRunner final : public MemberRunner {
 public:
  using MemberRunner::MemberRunner;

 private:
  bool Restores(const v1::Prepare& assignment) const override {
    return assignment.restore() || assignment.job().epoch() > 1;
  }
};

template <typename Core>
Parts WithCore() {
  Parts parts;
  parts.make_core = [](const CoreOptions& options) { return std::make_unique<Core>(options); };
  return parts;
}

template <typename Runner>
Parts WithRunner() {
  Parts parts;
  parts.make_runner = [](const RunnerSetup& setup) { return std::make_unique<Runner>(setup); };
  return parts;
}

}  // namespace

Parts VisibleBeforePersistent() {
  Parts parts;
  parts.arrange = [](std::vector<Action>* actions) {
    std::stable_partition(actions->begin(), actions->end(),
                          [](const Action& action) { return !SimulatedStore::Concerns(action); });
  };
  return parts;
}

Parts CoreBlindToEpochs() { return WithCore<EpochBlindCore>(); }
Parts MembersBlindToEpochs() { return WithRunner<EpochBlindRunner>(); }
Parts PlansTakenTwice() { return WithCore<RepeatingCore>(); }
Parts LaterEpochsRestore() { return WithRunner<CredulousRunner>(); }
Parts CommitsTakenTwice() { return WithRunner<GreedyRunner>(); }

}  // namespace rally::simulation
