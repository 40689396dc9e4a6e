#include "scheduler/pipeline_schedule.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/status_macros.h"

namespace rally {
namespace {

constexpr Direction kForward = Direction::kForward;
constexpr Direction kBackward = Direction::kBackward;

// The tick of every slot, by micro-batch, virtual stage and direction; -1: not there.
class TickTable {
 public:
  explicit TickTable(const StageSchedule& schedule)
      : stages_(schedule.stages),
        virtual_stages_(schedule.stages * schedule.model_chunks),
        ticks_(2 * static_cast<size_t>(schedule.micro_batches) * virtual_stages_, -1) {}

  int32_t& At(int32_t micro_batch, int32_t virtual_stage, Direction direction) {
    const size_t row = static_cast<size_t>(micro_batch) * virtual_stages_ + virtual_stage;
    return ticks_[2 * row + (direction == kBackward ? 1 : 0)];
  }
  int32_t& At(const Slot& slot, int32_t stage) {
    return At(slot.micro_batch, VirtualStage(slot, stage), slot.direction);
  }

  // The tick of what the slot waits for, before every tick when it waits for nothing; -1 when that
  // is not there.
  int32_t DependencyTick(const Slot& slot, int32_t stage) {
    constexpr int32_t kNothing = -2;
    const int32_t place = VirtualStage(slot, stage);
    if (slot.direction == kForward) {
      return place == 0 ? kNothing : At(slot.micro_batch, place - 1, kForward);
    }
    return place + 1 == virtual_stages_ ? At(slot.micro_batch, place, kForward)
                                        : At(slot.micro_batch, place + 1, kBackward);
  }

 private:
  int32_t VirtualStage(const Slot& slot, int32_t stage) const {
    return slot.model_chunk * stages_ + stage;
  }

  const int32_t stages_;
  const int32_t virtual_stages_;
  std::vector<int32_t> ticks_;
};

// Gives each slot, in its stage's order, the first tick in which it can run.
void AssignTicks(StageSchedule* schedule) {
  TickTable ticks(*schedule);
  std::vector<size_t> next(schedule->slots.size());
  size_t left = 0;
  for (const std::vector<Slot>& slots : schedule->slots) left += slots.size();
  while (left > 0) {
    const size_t before = left;
    const int32_t tick = schedule->ticks++;
    std::vector<std::pair<Slot, int32_t>> placed;
    for (int32_t stage = 0; stage < schedule->stages; ++stage) {
      std::vector<Slot>& slots = schedule->slots[stage];
      if (next[stage] == slots.size()) continue;
      Slot& slot = slots[next[stage]];
      if (ticks.DependencyTick(slot, stage) == -1) continue;
      slot.tick = tick;
      placed.emplace_back(slot, stage);
      ++next[stage];
      --left;
    }
    for (const auto& [slot, stage] : placed) ticks.At(slot, stage) = tick;
    RALLY_CHECK(left < before, "a pipeline schedule that can never go on");
  }
}

// Forwards of `order`, `warm_up` of them first, then one backward after each further one, then
// the rest of the backwards. `order(k, direction)` is the k-th slot of a direction.
template <typename Order>
std::vector<Slot> Alternate(int32_t count, int32_t warm_up, const Order& order) {
  std::vector<Slot> slots;
  for (int32_t k = 0; k < count + warm_up; ++k) {
    if (k < count) slots.push_back(order(k, kForward));
    if (k >= warm_up) slots.push_back(order(k - warm_up, kBackward));
  }
  return slots;
}

void OrderOneForwardOneBackward(StageSchedule* schedule) {
  for (int32_t stage = 0; stage < schedule->stages; ++stage) {
    const int32_t warm_up = std::min(schedule->stages - 1 - stage, schedule->micro_batches);
    schedule->slots[stage] =
        Alternate(schedule->micro_batches, warm_up, [](int32_t k, Direction direction) {
          return Slot{0, k, 0, direction};
        });
  }
}

void OrderInterleaved(StageSchedule* schedule) {
  const int32_t stages = schedule->stages;
  const int32_t chunks = schedule->model_chunks;
  const int32_t count = schedule->micro_batches * chunks;
  for (int32_t stage = 0; stage < stages; ++stage) {
    const int32_t warm_up = std::min(2 * (stages - 1 - stage) + (chunks - 1) * stages, count);
    schedule->slots[stage] = Alternate(count, warm_up, [=](int32_t k, Direction direction) {
      const int32_t chunk = k % (stages * chunks) / stages;
      return Slot{0, k / (stages * chunks) * stages + k % stages,
                  direction == kForward ? chunk : chunks - 1 - chunk, direction};
    });
  }
}

// Forward tick number f has micro-batch f - s on stage s, backward tick number b has micro-batch
// b - (stages - 1 - s). A backward tick can follow the forward tick stages - 1 after its number.
void LayPhaseAligned(StageSchedule* schedule) {
  const int32_t each_way = schedule->micro_batches + schedule->stages - 1;
  const auto lay = [schedule](int32_t number, Direction direction) {
    for (int32_t stage = 0; stage < schedule->stages; ++stage) {
      const int32_t behind = direction == kForward ? stage : schedule->stages - 1 - stage;
      const int32_t micro_batch = number - behind;
      if (micro_batch < 0 || micro_batch >= schedule->micro_batches) continue;
      schedule->slots[stage].push_back({schedule->ticks, micro_batch, 0, direction});
    }
    ++schedule->ticks;
  };
  for (int32_t k = 0; k < each_way + schedule->stages - 1; ++k) {
    if (k < each_way) lay(k, kForward);
    if (k >= schedule->stages - 1) lay(k - (schedule->stages - 1), kBackward);
  }
}

std::string Describe(const Slot& slot, int32_t stage) {
  return absl::StrCat("stage ", stage, ", tick ", slot.tick, ": micro-batch ", slot.micro_batch,
                      ", model chunk ", slot.model_chunk,
                      slot.direction == kForward ? ", forward" : ", backward");
}

absl::Status CheckSlot(const StageSchedule& schedule, int32_t stage, size_t index) {
  const std::vector<Slot>& slots = schedule.slots[stage];
  const Slot& slot = slots[index];
  const int32_t previous = index == 0 ? -1 : slots[index - 1].tick;
  if (slot.tick <= previous || slot.tick >= schedule.ticks) {
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(slot, stage), ": not in (", previous, ", ", schedule.ticks, ")"));
  }
  if (slot.micro_batch < 0 || slot.micro_batch >= schedule.micro_batches || slot.model_chunk < 0 ||
      slot.model_chunk >= schedule.model_chunks) {
    return absl::InvalidArgumentError(absl::StrCat(Describe(slot, stage), ": of ",
                                                   schedule.micro_batches, " micro-batches and ",
                                                   schedule.model_chunks, " model chunks"));
  }
  return absl::OkStatus();
}

}  // namespace

const Slot* StageSchedule::At(int32_t stage, int32_t tick) const {
  const auto found = std::lower_bound(slots[stage].begin(), slots[stage].end(), tick,
                                      [](const Slot& slot, int32_t t) { return slot.tick < t; });
  return found != slots[stage].end() && found->tick == tick ? &*found : nullptr;
}

absl::StatusOr<StageSchedule> MakeSchedule(ScheduleKind kind, int32_t stages, int32_t micro_batches,
                                           int32_t model_chunks) {
  const bool interleaved = kind == ScheduleKind::kInterleaved;
  if (stages < 1 || micro_batches < 1 || model_chunks < 1 || (!interleaved && model_chunks != 1)) {
    return absl::InvalidArgumentError(absl::StrCat("a pipeline schedule of ", stages, " stages, ",
                                                   micro_batches, " micro-batches, ", model_chunks,
                                                   " model chunks"));
  }
  if (interleaved && micro_batches % stages != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("an interleaved schedule of ", micro_batches,
                     " micro-batches, which is not a multiple of its ", stages, " stages"));
  }
  StageSchedule schedule{stages, micro_batches, model_chunks};
  schedule.slots.resize(static_cast<size_t>(stages));
  if (kind == ScheduleKind::kPhaseAligned) {
    LayPhaseAligned(&schedule);
    return schedule;
  }
  if (interleaved) {
    OrderInterleaved(&schedule);
  } else {
    OrderOneForwardOneBackward(&schedule);
  }
  AssignTicks(&schedule);
  return schedule;
}

absl::Status CheckSchedule(const StageSchedule& schedule) {
  if (schedule.stages < 1 || schedule.micro_batches < 1 || schedule.model_chunks < 1 ||
      schedule.slots.size() != static_cast<size_t>(schedule.stages)) {
    return absl::InvalidArgumentError("a pipeline schedule without stages or micro-batches");
  }
  TickTable ticks(schedule);
  size_t count = 0;
  for (int32_t stage = 0; stage < schedule.stages; ++stage) {
    for (size_t i = 0; i < schedule.slots[stage].size(); ++i, ++count) {
      RALLY_RETURN_IF_ERROR(CheckSlot(schedule, stage, i));
      const Slot& slot = schedule.slots[stage][i];
      if (ticks.At(slot, stage) != -1) {
        return absl::InvalidArgumentError(absl::StrCat(Describe(slot, stage), ": done twice"));
      }
      ticks.At(slot, stage) = slot.tick;
    }
  }
  for (int32_t stage = 0; stage < schedule.stages; ++stage) {
    for (const Slot& slot : schedule.slots[stage]) {
      const int32_t dependency = ticks.DependencyTick(slot, stage);
      if (dependency == -1 || dependency >= slot.tick) {
        return absl::InvalidArgumentError(
            absl::StrCat(Describe(slot, stage), ": before what it depends on"));
      }
    }
  }
  const size_t wanted =
      2 * static_cast<size_t>(schedule.micro_batches) * schedule.stages * schedule.model_chunks;
  if (count != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(count, " of ", wanted, " slots"));
  }
  return absl::OkStatus();
}

bool IsPhaseAligned(const StageSchedule& schedule) {
  std::vector<const Slot*> first(static_cast<size_t>(schedule.ticks), nullptr);
  for (const std::vector<Slot>& slots : schedule.slots) {
    for (const Slot& slot : slots) {
      const Slot*& of_tick = first[slot.tick];
      if (of_tick == nullptr) of_tick = &slot;
      if (of_tick->direction != slot.direction) return false;
    }
  }
  return true;
}

}  // namespace rally
