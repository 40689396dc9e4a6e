#include "scheduler/pipeline_schedule.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace rally {
namespace {

using Kind = ScheduleKind;

StageSchedule Make(Kind kind, int32_t stages, int32_t micro_batches, int32_t model_chunks = 1) {
  auto schedule = MakeSchedule(kind, stages, micro_batches, model_chunks);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *std::move(schedule);
}

// A stage's ticks as text: F0, B0, ... by micro-batch, with the model chunk as a letter when there
// are several; "." when idle.
std::string Draw(const StageSchedule& schedule, int32_t stage) {
  std::string text;
  for (int32_t tick = 0; tick < schedule.ticks; ++tick) {
    const Slot* slot = schedule.At(stage, tick);
    if (!text.empty()) text += ' ';
    if (slot == nullptr) {
      text += '.';
      continue;
    }
    text += slot->direction == Direction::kForward ? 'F' : 'B';
    text += std::to_string(slot->micro_batch);
    if (schedule.model_chunks > 1) text += static_cast<char>('a' + slot->model_chunk);
  }
  return text;
}

// Most micro-batches (times model chunks) whose forward a stage has done and whose backward not.
int32_t MostInFlight(const StageSchedule& schedule, int32_t stage) {
  int32_t now = 0;
  int32_t most = 0;
  for (const Slot& slot : schedule.slots[stage]) {
    now += slot.direction == Direction::kForward ? 1 : -1;
    most = std::max(most, now);
  }
  return most;
}

TEST(PipelineScheduleTest, OneForwardOneBackwardIsTheKnownPicture) {
  const StageSchedule schedule = Make(Kind::kOneForwardOneBackward, 3, 4);
  EXPECT_EQ(Draw(schedule, 0), "F0 F1 F2 . . B0 F3 B1 . B2 . B3");
  EXPECT_EQ(Draw(schedule, 1), ". F0 F1 . B0 F2 B1 F3 B2 . B3 .");
  EXPECT_EQ(Draw(schedule, 2), ". . F0 B0 F1 B1 F2 B2 F3 B3 . .");
}

TEST(PipelineScheduleTest, PhaseAlignedIsTheKnownPicture) {
  const StageSchedule schedule = Make(Kind::kPhaseAligned, 3, 4);
  EXPECT_EQ(Draw(schedule, 0), "F0 F1 F2 . F3 . . B0 . B1 B2 B3");
  EXPECT_EQ(Draw(schedule, 1), ". F0 F1 . F2 B0 F3 B1 . B2 B3 .");
  EXPECT_EQ(Draw(schedule, 2), ". . F0 B0 F1 B1 F2 B2 F3 B3 . .");
}

TEST(PipelineScheduleTest, InterleavedIsTheKnownPicture) {
  const StageSchedule schedule = Make(Kind::kInterleaved, 2, 2, 2);
  EXPECT_EQ(Draw(schedule, 0), "F0a F1a F0b F1b . B0b . B1b B0a B1a");
  EXPECT_EQ(Draw(schedule, 1), ". F0a F1a F0b B0b F1b B1b B0a B1a .");
}

TEST(PipelineScheduleTest, EveryScheduleIsValid) {
  for (int32_t stages = 1; stages <= 6; ++stages) {
    for (int32_t micro_batches = 1; micro_batches <= 13; ++micro_batches) {
      for (const Kind kind : {Kind::kOneForwardOneBackward, Kind::kPhaseAligned}) {
        const StageSchedule schedule = Make(kind, stages, micro_batches);
        EXPECT_TRUE(CheckSchedule(schedule).ok()) << CheckSchedule(schedule);
        EXPECT_EQ(schedule.ticks, 2 * (micro_batches + stages - 1));
        for (int32_t s = 0; s < stages; ++s) {
          const int32_t depth = kind == Kind::kPhaseAligned ? 2 * (stages - 1 - s) + 1 : stages - s;
          EXPECT_EQ(MostInFlight(schedule, s), std::min(depth, micro_batches));
        }
        if (kind == Kind::kPhaseAligned) {
          EXPECT_TRUE(IsPhaseAligned(schedule));
        }
      }
      for (int32_t chunks = 1; chunks <= 4 && micro_batches % stages == 0; ++chunks) {
        const StageSchedule schedule = Make(Kind::kInterleaved, stages, micro_batches, chunks);
        EXPECT_TRUE(CheckSchedule(schedule).ok()) << CheckSchedule(schedule);
        // Bubbles of one model chunk each, not of a whole stage.
        EXPECT_LE(schedule.ticks, 2 * (micro_batches * chunks + stages - 1) + stages - 1);
      }
    }
  }
  EXPECT_FALSE(IsPhaseAligned(Make(Kind::kOneForwardOneBackward, 3, 4)));
}

TEST(PipelineScheduleTest, RefusesWhatCannotBe) {
  EXPECT_FALSE(MakeSchedule(Kind::kPhaseAligned, 0, 4).ok());
  EXPECT_FALSE(MakeSchedule(Kind::kPhaseAligned, 2, 0).ok());
  EXPECT_FALSE(MakeSchedule(Kind::kOneForwardOneBackward, 2, 2, 2).ok());
  EXPECT_FALSE(MakeSchedule(Kind::kInterleaved, 2, 3, 2).ok());
}

TEST(CheckScheduleTest, FindsWhatIsWrong) {
  const StageSchedule good = Make(Kind::kPhaseAligned, 3, 4);
  const auto spoilt = [&good](auto&& spoil) {
    StageSchedule schedule = good;
    spoil(&schedule);
    return std::string(CheckSchedule(schedule).message());
  };
  EXPECT_EQ(spoilt([](StageSchedule*) {}), "");
  EXPECT_EQ(spoilt([](StageSchedule* s) { s->slots[2].pop_back(); }),
            "stage 1, tick 10: micro-batch 3, model chunk 0, backward: before what it depends on");
  EXPECT_EQ(spoilt([](StageSchedule* s) { s->slots[0].pop_back(); }), "23 of 24 slots");
  EXPECT_EQ(spoilt([](StageSchedule* s) { s->slots[1][1].micro_batch = 0; }),
            "stage 1, tick 2: micro-batch 0, model chunk 0, forward: done twice");
  EXPECT_EQ(spoilt([](StageSchedule* s) { s->slots[1][0].tick = 0; }),
            "stage 1, tick 0: micro-batch 0, model chunk 0, forward: before what it depends on");
  EXPECT_EQ(spoilt([](StageSchedule* s) { s->slots[1][1].tick = 1; }),
            "stage 1, tick 1: micro-batch 1, model chunk 0, forward: not in (1, 12)");
  EXPECT_EQ(spoilt([](StageSchedule* s) { s->slots[1][1].micro_batch = 4; }),
            "stage 1, tick 2: micro-batch 4, model chunk 0, forward: of 4 micro-batches and 1 "
            "model chunks");
}

}  // namespace
}  // namespace rally
