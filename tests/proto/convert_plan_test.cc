#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"

namespace rally {
namespace {

using testing::HasSubstr;

// Two workers and a server; one document over both workers, one on the first.
Plan SmallPlan() {
  Plan plan;
  plan.round = 3;
  plan.step = 2;
  plan.kind = PlanKind::kValidate;
  plan.workers = 2;
  plan.dedicated_servers = 1;
  plan.documents = {{7, 100, 20, 20}, {9, 0, 5, 4}};
  MicroBatch& micro_batch = plan.micro_batches.emplace_back();
  micro_batch.chunks.resize(2);
  micro_batch.chunks[0].nano_batches[0] = {{0, 0, 10}, {1, 0, 5}};
  micro_batch.chunks[1].nano_batches[1] = {{0, 10, 20}};
  micro_batch.tasks[0] = {{0, 0, 10, 0, 10, 0}, {1, 0, 5, 0, 5, 2}};
  micro_batch.tasks[1] = {{0, 10, 20, 0, 20, 1}};
  micro_batch.passes = Passes::kForward;
  plan.next_position = {1, 2, 3};
  plan.stages = 2;
  return plan;
}

TEST(ConvertPlanTest, SurvivesTheRoundTrip) {
  const absl::StatusOr<Plan> plan = FromProto(ToProto(SmallPlan()));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(*plan, SmallPlan());
}

TEST(ConvertPlanTest, TakesAbsentStagesForOne) {
  v1::Plan message = ToProto(SmallPlan());
  message.clear_stages();
  const absl::StatusOr<Plan> plan = FromProto(message);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->stages, 1);
}

TEST(ConvertPlanTest, RefusesWhatIsOutOfRange) {
  const struct {
    std::string message;
    std::function<void(v1::Plan*)> spoil;
  } cases[] = {
      {"plan.workers: 0", [](v1::Plan* p) { p->set_workers(0); }},
      {"plan.kind: 7", [](v1::Plan* p) { p->set_kind(static_cast<v1::PlanKind>(7)); }},
      {"plan.stages: 0", [](v1::Plan* p) { p->set_stages(0); }},
      {"plan.stages: 2 is not a divisor of 3", [](v1::Plan* p) { p->set_workers(3); }},
      {"plan.micro_batches.passes: 3",
       [](v1::Plan* p) { p->mutable_micro_batches(0)->set_passes(static_cast<v1::Passes>(3)); }},
      {"plan.round: -1", [](v1::Plan* p) { p->set_round(-1); }},
      {"plan.documents.source.size", [](v1::Plan* p) { p->mutable_documents()->add_source(1); }},
      {"plan.documents.targets: 30",
       [](v1::Plan* p) { p->mutable_documents()->set_targets(0, 30); }},
      {"plan.micro_batches.chunks.size: 3",
       [](v1::Plan* p) { p->mutable_micro_batches(0)->add_chunks(); }},
      {"plan.chunks.nano_batches.size: 3",
       [](v1::Plan* p) { p->mutable_micro_batches(0)->mutable_chunks(0)->add_nano_batches(); }},
      {"plan.shards.document: 2",
       [](v1::Plan* p) {
         p->mutable_micro_batches(0)->mutable_chunks(0)->mutable_nano_batches(0)->set_document(0,
                                                                                               2);
       }},
      {"plan.shards.end: 21",
       [](v1::Plan* p) {
         p->mutable_micro_batches(0)->mutable_chunks(1)->mutable_nano_batches(1)->set_end(0, 21);
       }},
      {"plan.tasks.server: 3",
       [](v1::Plan* p) { p->mutable_micro_batches(0)->mutable_tasks(0)->set_server(0, 3); }},
      {"plan.tasks.q.begin: 10",
       [](v1::Plan* p) { p->mutable_micro_batches(0)->mutable_tasks(0)->set_q_begin(0, 10); }},
      {"plan.tasks.kv_end.size",
       [](v1::Plan* p) { p->mutable_micro_batches(0)->mutable_tasks(0)->add_kv_end(1); }},
  };
  for (const auto& test : cases) {
    v1::Plan message = ToProto(SmallPlan());
    test.spoil(&message);
    const absl::Status status = FromProto(message).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << test.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace rally
