#include "workers/profile/machine_profile.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "workers/attention/attention_kernel.h"
#include "workers/model/layer_timer.h"
#include "workers/profile/attention_rates.h"
#include "workers/profile/forked_process.h"
#include "workers/profile/link_times.h"
#include "workers/profile/phase_costs.h"
#include "workers/profile/repeated_timing.h"

namespace rally {
namespace {

using Progress = std::function<void(const std::string&)>;

// Of replies; requests of a bfloat16 job take half (scheduler/message_layout.h).
constexpr int64_t kElementBytes = sizeof(float);

// What is measured, and for how long.
struct Extent {
  AttentionGrid grid;
  std::vector<int64_t> tokens;
  LinkEffort links;
  TimingEffort timing;
  int repeats = 0;  // Of layers, updates and phases.
};

Extent ExtentOf(bool quick) {
  Extent extent;
  if (quick) {
    extent.grid = {{32, 256}, {64, 512, 2048}};
    extent.tokens = {64, 512, 2048};
    extent.links = {{64, 65536, 1 << 20, 1 << 23}, {1 << 12, 1 << 18}, {7, 0.002}};
    extent.timing = {7, 0.002};
    extent.repeats = 7;
  } else {
    extent.grid = {{16, 64, 256, 1024}, {32, 128, 512, 2048, 8192}};
    extent.tokens = {16, 64, 256, 1024, 4096};
    extent.links = {{64, 4096, 65536, 1 << 18, 1 << 20, 1 << 23}, {1 << 12, 1 << 21}, {21, 0.004}};
    extent.timing = {21, 0.004};
    extent.repeats = 21;
  }
  return extent;
}

Profile::Times AtBandwidth(const Profile::Times& same_node, double bytes_per_second) {
  const double floor = same_node.begin()->second;
  constexpr double kLarge = 1e9;
  return {{1.0, floor}, {kLarge, floor + kLarge / bytes_per_second}};
}

class MachineProfiler {
 public:
  MachineProfiler(const MachineProfileOptions& options, const Progress& progress)
      : options_(options), extent_(ExtentOf(options.quick)), progress_(progress) {}

  absl::StatusOr<Profile> Measure() {
    Describe();
    RALLY_RETURN_IF_ERROR(ForkAll());
    RALLY_RETURN_IF_ERROR(MeasureLinks());
    for (const auto& busy : busy_) RALLY_RETURN_IF_ERROR(SwapText(busy->fd(), "begin").status());
    RALLY_RETURN_IF_ERROR(MeasureCompute());
    busy_.clear();
    RALLY_RETURN_IF_ERROR(CheckProfile(profile_));
    return std::move(profile_);
  }

 private:
  void Describe() {
    const ModelShape& model = options_.spec.model;
    profile_.name = options_.name;
    profile_.element_bytes = kElementBytes;
    profile_.heads = model.heads;
    profile_.kv_heads = model.kv_heads;
    profile_.head_dim = model.head_dim;
    profile_.layer_parameters = LayerParameterCount(model);
    profile_.head_parameters = model.hidden_size * model.vocabulary;
    const bool bfloat16 = options_.spec.training.compute_type == ComputeType::kBfloat16;
    profile_.sources = {
        absl::StrCat("measured by rally profile", options_.quick ? " --quick" : "", ": ",
                     options_.processes, " process(es) of ", options_.threads,
                     " thread(s) computing at a time"),
        absl::StrCat("linear part and head: hidden size ", model.hidden_size, ", feed-forward ",
                     model.feed_forward_size, ", vocabulary ", model.vocabulary, ", ",
                     bfloat16 ? "bfloat16" : "float32"),
        "same-node: shared memory between two processes, one message at a time",
        options_.across_nodes > 0.0
            ? absl::StrCat("across-nodes: assumed, ", options_.across_nodes, " bytes per second")
            : "across-nodes: not measured, taken to be as same-node"};
  }

  // While this process has no compute threads.
  absl::Status ForkAll() {
    RALLY_ASSIGN_OR_RETURN(peer_, ForkedProcess::Start([this](int fd) {
                             return MeasureWithPeer(fd, 1, extent_.links).status();
                           }));
    for (int32_t i = 1; i < options_.processes; ++i) {
      RALLY_ASSIGN_OR_RETURN(busy_.emplace_back(),
                             ForkedProcess::Start([this](int fd) { return KeepBusy(fd); }));
    }
    return absl::OkStatus();
  }

  // Body of a process that computes for the others' sake, until it is killed.
  absl::Status KeepBusy(int fd) {
    progress_ = [](const std::string&) {};
    RALLY_RETURN_IF_ERROR(SwapText(fd, "ready").status());
    while (true) RALLY_RETURN_IF_ERROR(MeasureCompute());
  }

  absl::Status MeasureLinks() {
    progress_("links and reductions");
    const auto same_process = static_cast<size_t>(LinkClass::kSameProcess);
    RALLY_ASSIGN_OR_RETURN(profile_.transfer[same_process], MeasureWithinProcess(extent_.links));
    RALLY_ASSIGN_OR_RETURN(PeerTimes times, MeasureWithPeer(peer_->fd(), 0, extent_.links));
    peer_ = nullptr;
    profile_.reduce = times.reduce;
    profile_.transfer[static_cast<size_t>(LinkClass::kAcrossNodes)] =
        options_.across_nodes > 0.0 ? AtBandwidth(times.transfer, options_.across_nodes)
                                    : times.transfer;
    profile_.transfer[static_cast<size_t>(LinkClass::kSameNode)] = std::move(times.transfer);
    return absl::OkStatus();
  }

  absl::Status MeasureCompute() {
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<AttentionKernel> kernel,
                           MakeCpuAttentionKernel({.threads = options_.threads}));
    for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
      progress_(absl::StrCat("core attention, ",
                             direction == Direction::kForward ? "forward" : "backward"));
      RALLY_ASSIGN_OR_RETURN(
          profile_.attention[static_cast<size_t>(direction)],
          MeasureAttentionRates(options_.spec.model, options_.spec.attention_element(), direction,
                                extent_.grid, extent_.timing, kernel.get()));
    }
    progress_("phases");
    RALLY_ASSIGN_OR_RETURN(profile_.phase,
                           MeasurePhaseCosts(options_.spec.model, options_.spec.attention_element(),
                                             5 * extent_.repeats, kernel.get()));
    return MeasureModel();
  }

  absl::Status MeasureModel() {
    progress_("layers, head and optimizer");
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<LayerTimer> timer,
                           MakeLayerTimer(options_.spec, options_.threads));
    RALLY_ASSIGN_OR_RETURN(const std::vector<LayerSeconds> seconds,
                           timer->MeasureLayers(extent_.tokens, extent_.repeats));
    for (size_t i = 0; i < seconds.size(); ++i) {
      const auto tokens = static_cast<double>(extent_.tokens[i]);
      profile_.linear[0][tokens] = seconds[i].layer_forward;
      profile_.linear[1][tokens] = seconds[i].layer_backward;
      profile_.head[0][tokens] = seconds[i].head_forward;
      profile_.head[1][tokens] = seconds[i].head_backward;
    }
    RALLY_ASSIGN_OR_RETURN(const UpdateSeconds update, timer->MeasureUpdate(extent_.repeats));
    profile_.update = {update.fixed, update.per_parameter};
    return absl::OkStatus();
  }

  const MachineProfileOptions& options_;
  const Extent extent_;
  Progress progress_;
  Profile profile_;
  std::unique_ptr<ForkedProcess> peer_;
  std::vector<std::unique_ptr<ForkedProcess>> busy_;
};

}  // namespace

absl::StatusOr<Profile> MeasureMachine(const MachineProfileOptions& options,
                                       const Progress& progress) {
  return MachineProfiler(options, progress).Measure();
}

}  // namespace rally
