#include "scheduler/device_program.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <tuple>
#include <utility>

namespace rally {
namespace {

using Kind = Operation::Kind;
constexpr Direction kForward = Direction::kForward;
constexpr Direction kBackward = Direction::kBackward;

// One pass of a micro-batch of the plan, in one direction, over a run of layers. Without a
// schedule all ranks take part in it, with one the workers of one stage.
struct Pass {
  int32_t micro_batch = 0;
  Direction direction = kForward;
  int32_t first_rank = 0;
  int32_t model_chunk = 0;
  int32_t first_phase = 0;  // Index into StepProgram::phases of layer 0, first nano-batch in use.
  std::vector<int32_t> nano_batches;  // In use, in the order that the direction runs them.
};

// A rank's chunk in a pass.
struct Place {
  int32_t rank = 0;
  int32_t virtual_stage = 0;
  bool first = false;  // Of the virtual stages.
  bool last = false;
  std::array<int64_t, kNanoBatches> tokens = {};
  int64_t all_tokens = 0;
  int32_t micro_batch_key = 0;  // The same on every stage.
  Activity waiting = Activity::kImbalance;
};

class ProgramBuilder {
 public:
  ProgramBuilder(const SimulationInput& input, const DeviceShape& device, int64_t layers)
      : input_(input),
        plan_(*input.plan),
        device_(device),
        layers_(layers),
        stages_(input.schedule != nullptr ? input.schedule->stages : plan_.stages),
        virtual_stages_(stages_ * (input.schedule != nullptr ? input.schedule->model_chunks : 1)),
        replicas_(input.topology.workers / stages_),
        in_flight_(static_cast<size_t>(input.topology.ranks())) {
    program_.operations.resize(in_flight_.size());
    program_.activation_bytes.resize(in_flight_.size());
  }

  StepProgram Build() {
    if (input_.schedule != nullptr) {
      for (int32_t stage = 0; stage < stages_; ++stage) {
        for (const Slot& slot : input_.schedule->slots[stage]) {
          if (slot.direction == kBackward && !trains()) continue;
          RunStage(stage, slot);
        }
      }
    } else {
      for (size_t i = 0; i < plan_.micro_batches.size(); ++i) RunEveryone(static_cast<int32_t>(i));
    }
    if (trains()) ReduceAndUpdate();
    return std::move(program_);
  }

 private:
  bool trains() const { return plan_.kind == PlanKind::kTrain; }

  void RunStage(int32_t stage, const Slot& slot) {
    const Pass pass =
        MakePass(slot.micro_batch, slot.direction, stage * replicas_, slot.model_chunk);
    for (int32_t replica = 0; replica < replicas_; ++replica) {
      RunWorker(pass, stage * replicas_ + replica);
    }
  }

  void RunEveryone(int32_t micro_batch) {
    const Passes passes = plan_.micro_batches[micro_batch].passes;
    for (const Direction direction : {kForward, kBackward}) {
      if (direction == kForward && passes == Passes::kBackward) continue;
      if (direction == kBackward && (passes == Passes::kForward || !trains())) continue;
      const Pass pass = MakePass(micro_batch, direction, 0, 0);
      for (int32_t rank = 0; rank < plan_.workers; ++rank) RunWorker(pass, rank);
      for (int32_t rank = plan_.workers; rank < plan_.ranks(); ++rank) ServePass(pass, rank);
    }
  }

  Pass MakePass(int32_t micro_batch, Direction direction, int32_t first_rank, int32_t model_chunk) {
    Pass pass{micro_batch, direction, first_rank, model_chunk,
              static_cast<int32_t>(program_.phases.size())};
    for (int32_t nano = 0; nano < kNanoBatches; ++nano) {
      if (NanoBatchInUse(plan_.micro_batches[micro_batch], nano)) pass.nano_batches.push_back(nano);
    }
    if (direction == kBackward) std::reverse(pass.nano_batches.begin(), pass.nano_batches.end());
    for (int64_t layer = 0; layer < layers_; ++layer) {
      for (const int32_t nano : pass.nano_batches) {
        program_.phases.push_back(
            {micro_batch, nano, static_cast<int32_t>(layer), first_rank, direction});
      }
    }
    return pass;
  }

  int32_t PhaseIndex(const Pass& pass, int64_t layer, size_t nano_index) const {
    return pass.first_phase +
           static_cast<int32_t>(layer * static_cast<int64_t>(pass.nano_batches.size()) +
                                static_cast<int64_t>(nano_index));
  }

  Place PlaceOf(const Pass& pass, int32_t rank) const {
    Place place{rank};
    place.virtual_stage = pass.model_chunk * stages_ + rank / replicas_;
    place.first = place.virtual_stage == 0;
    place.last = place.virtual_stage + 1 == virtual_stages_;
    const Chunk& chunk = plan_.micro_batches[pass.micro_batch].chunks[rank - pass.first_rank];
    place.micro_batch_key = pass.micro_batch;
    for (int nano = kNanoBatches - 1; nano >= 0; --nano) {
      place.tokens[nano] = TokenCount(chunk.nano_batches[nano]);
      if (plan_.stages > 1 && !chunk.nano_batches[nano].empty()) {
        place.micro_batch_key = chunk.nano_batches[nano][0].document;
      }
    }
    place.all_tokens = TokenCount(chunk);
    if (stages_ > 1 && place.all_tokens == 0) place.waiting = Activity::kBubble;
    return place;
  }

  void RunWorker(const Pass& pass, int32_t rank) {
    const Place place = PlaceOf(pass, rank);
    AwaitStage(pass, place);
    if (pass.direction == kForward) {
      RunForward(pass, place);
    } else {
      RunBackward(pass, place);
    }
    SendStage(pass, place);
    CountActivations(pass, place);
  }

  void RunForward(const Pass& pass, const Place& place) {
    for (int64_t layer = 0; layer < layers_; ++layer) {
      for (size_t n = 0; n < pass.nano_batches.size(); ++n) {
        const int64_t tokens = place.tokens[pass.nano_batches[n]];
        if (layer > 0) {
          Collect(pass, place, layer - 1, n);
          AfterAttention(place, kForward, tokens);
        }
        BeforeAttention(place, kForward, tokens);
        Dispatch(place, PhaseIndex(pass, layer, n));
      }
    }
    for (size_t n = 0; n < pass.nano_batches.size(); ++n) {
      const int64_t tokens = place.tokens[pass.nano_batches[n]];
      Collect(pass, place, layers_ - 1, n);
      AfterAttention(place, kForward, tokens);
      if (place.last) Compute(place, Activity::kLinear, device_.HeadSeconds(kForward, tokens));
    }
  }

  void RunBackward(const Pass& pass, const Place& place) {
    for (size_t n = 0; n < pass.nano_batches.size(); ++n) {
      const int64_t tokens = place.tokens[pass.nano_batches[n]];
      if (place.last) Compute(place, Activity::kLinear, device_.HeadSeconds(kBackward, tokens));
      AfterAttention(place, kBackward, tokens);
      Dispatch(place, PhaseIndex(pass, layers_ - 1, n));
    }
    for (int64_t layer = layers_ - 1; layer >= 0; --layer) {
      for (size_t n = 0; n < pass.nano_batches.size(); ++n) {
        const int64_t tokens = place.tokens[pass.nano_batches[n]];
        Collect(pass, place, layer, n);
        BeforeAttention(place, kBackward, tokens);
        if (layer == 0) continue;
        AfterAttention(place, kBackward, tokens);
        Dispatch(place, PhaseIndex(pass, layer - 1, n));
      }
    }
  }

  void Dispatch(const Place& place, int32_t phase) {
    Add(place.rank, {Kind::kPack, Activity::kAttention, phase});
    Add(place.rank, {Kind::kPost, Activity::kAttention, phase});
  }

  // All that has been posted of the layer is served before the first wait for replies.
  void Collect(const Pass& pass, const Place& place, int64_t layer, size_t nano_index) {
    if (nano_index == 0) ServeLayer(pass, place.rank, layer, place.waiting);
    const int32_t phase = PhaseIndex(pass, layer, nano_index);
    Add(place.rank, {Kind::kAwaitReplies, place.waiting, phase});
    Add(place.rank, {Kind::kMerge, Activity::kAttention, phase});
  }

  void ServeLayer(const Pass& pass, int32_t rank, int64_t layer, Activity waiting) {
    for (size_t n = 0; n < pass.nano_batches.size(); ++n) {
      const int32_t phase = PhaseIndex(pass, layer, n);
      Add(rank, {Kind::kAwaitRequests, waiting, phase});
      Add(rank, {Kind::kAttend, Activity::kAttention, phase});
      Add(rank, {Kind::kReply, Activity::kAttention, phase});
    }
  }

  void ServePass(const Pass& pass, int32_t rank) {
    for (int64_t i = 0; i < layers_; ++i) {
      const int64_t layer = pass.direction == kForward ? i : layers_ - 1 - i;
      ServeLayer(pass, rank, layer, Activity::kImbalance);
    }
  }

  void BeforeAttention(const Place& place, Direction direction, int64_t tokens) {
    if (tokens == 0) return;
    Compute(place, Activity::kTensorParallel, device_.CollectiveSeconds(1, tokens));
    Compute(place, Activity::kLinear, device_.BeforeAttentionSeconds(direction, tokens));
  }

  void AfterAttention(const Place& place, Direction direction, int64_t tokens) {
    if (tokens == 0) return;
    Compute(place, Activity::kLinear, device_.AfterAttentionSeconds(direction, tokens));
    Compute(place, Activity::kTensorParallel, device_.CollectiveSeconds(3, tokens));
  }

  void Compute(const Place& place, Activity activity, double seconds) {
    if (seconds > 0.0) Add(place.rank, {Kind::kCompute, activity, 0, seconds});
  }

  void AwaitStage(const Pass& pass, const Place& place) {
    const bool first = pass.direction == kForward ? place.first : place.last;
    if (first || place.all_tokens == 0) return;
    Add(place.rank, {Kind::kAwaitStage, Activity::kBubble,
                     MessageInto(pass.direction, place, place.virtual_stage)});
  }

  void SendStage(const Pass& pass, const Place& place) {
    const bool last = pass.direction == kForward ? place.last : place.first;
    if (last || place.all_tokens == 0) return;
    const int32_t next = place.virtual_stage + (pass.direction == kForward ? 1 : -1);
    const int32_t message = MessageInto(pass.direction, place, next);
    const int32_t replica = place.rank % replicas_;
    program_.stage_messages[message] = {place.rank, next % stages_ * replicas_ + replica,
                                        device_.StageBytes(place.all_tokens)};
    Add(place.rank, {Kind::kSendStage, Activity::kLinear, message});
  }

  // The message that brings the place's micro-batch to a virtual stage of its replica.
  int32_t MessageInto(Direction direction, const Place& place, int32_t virtual_stage) {
    const auto [entry, made] = messages_.try_emplace(
        {direction, place.micro_batch_key, place.rank % replicas_, virtual_stage},
        static_cast<int32_t>(program_.stage_messages.size()));
    if (made) program_.stage_messages.emplace_back();
    return entry->second;
  }

  void CountActivations(const Pass& pass, const Place& place) {
    const double bytes = device_.ActivationBytes(place.all_tokens) *
                         static_cast<double>(input_.model.layers / virtual_stages_);
    double& now = in_flight_[place.rank];
    now += pass.direction == kForward ? bytes : -bytes;
    program_.activation_bytes[place.rank] = std::max(program_.activation_bytes[place.rank], now);
    if (!trains()) now = 0.0;
  }

  void ReduceAndUpdate() {
    for (int32_t stage = 0; stage < stages_; ++stage) {
      const int64_t outer = device_.OuterParameters();
      const int64_t parameters = device_.LayerParameters(input_.model.layers / stages_) +
                                 (stages_ == 1                           ? outer
                                  : (stage == 0 || stage + 1 == stages_) ? outer / 2
                                                                         : 0);
      program_.reduce_groups.push_back({replicas_, ReduceSeconds(stage, parameters)});
      for (int32_t rank = stage * replicas_; rank < (stage + 1) * replicas_; ++rank) {
        const Activity waiting = stages_ > 1 ? Activity::kBubble : Activity::kImbalance;
        if (replicas_ > 1) Add(rank, {Kind::kReduce, waiting, stage});
        const double update = input_.costs->UpdateSeconds(parameters);
        if (update > 0.0) Add(rank, {Kind::kCompute, Activity::kUpdate, 0, update});
      }
    }
  }

  // As measured; a profile without that: a ring of float32 over the slowest link of the group.
  double ReduceSeconds(int32_t stage, int64_t parameters) const {
    const double measured = input_.costs->ReduceSeconds(parameters, replicas_);
    if (measured > 0.0 || replicas_ == 1) return measured;
    const int32_t first = stage * replicas_;
    const LinkClass link = input_.topology.link(first, first + replicas_ - 1);
    constexpr double kFloatBytes = 4.0;
    const double bytes =
        2.0 * (replicas_ - 1) / replicas_ * static_cast<double>(parameters) * kFloatBytes;
    return input_.costs->TransferSeconds(link, bytes);
  }

  void Add(int32_t rank, const Operation& operation) {
    program_.operations[rank].push_back(operation);
  }

  const SimulationInput& input_;
  const Plan& plan_;
  const DeviceShape& device_;
  const int64_t layers_;
  const int32_t stages_;
  const int32_t virtual_stages_;
  const int32_t replicas_;
  StepProgram program_;
  std::map<std::tuple<Direction, int32_t, int32_t, int32_t>, int32_t> messages_;
  std::vector<double> in_flight_;  // Activation bytes. [ranks]
};

}  // namespace

StepProgram MakeStepProgram(const SimulationInput& input, const DeviceShape& device,
                            int64_t layers) {
  return ProgramBuilder(input, device, layers).Build();
}

}  // namespace rally
