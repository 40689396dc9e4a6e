// A round whose attention servers change at any moment computes what it would have computed.
#include <memory>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "tests/model/elastic_group.h"

namespace rally::testing {
namespace {

// As in the parity test: other cuts, the same sums.
constexpr double kTolerance = 1e-5;
constexpr int64_t kSteps = 50;

JobSpec ElasticJob() {
  JobSpec spec = TinyJob();
  spec.optimizer.learning_rate = 2e-3;
  spec.workers = 2;
  spec.batch.max_document_tokens = 128;  // Two chunks: documents have homes on both workers.
  spec.attention.dedicated = 3;
  return spec;
}

const Corpus kCorpus{{128, 100, 3, 25, 77, 51}};

void ExpectUndisturbed(const JobSpec& spec, int changes, uint64_t seed) {
  ElasticGroup calm(spec, kCorpus, 0, seed);
  const auto expected = calm.TrainUntil(kSteps);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ElasticGroup group(spec, kCorpus, changes, seed);
  const auto losses = group.TrainUntil(kSteps);
  ASSERT_TRUE(losses.ok()) << losses.status();
  ASSERT_EQ(losses->size(), expected->size());
  for (size_t i = 0; i < losses->size(); ++i) {
    EXPECT_NEAR((*losses)[i], (*expected)[i], kTolerance * (*expected)[i]) << "step " << i + 1;
  }
  EXPECT_GT(group.changes_within_rounds(), kSteps / 4) << "too few changes met a round";
  ::testing::Test::RecordProperty("changes_within_rounds",
                                  static_cast<int>(group.changes_within_rounds()));
  ::testing::Test::RecordProperty("most_apart", static_cast<int>(group.most_apart()));
  const auto validation = group.Validate();
  const auto expected_validation = calm.Validate();
  ASSERT_TRUE(validation.ok() && expected_validation.ok()) << validation.status();
  EXPECT_NEAR(*validation, *expected_validation, kTolerance * *expected_validation);
}

TEST(PoolChange, OfDedicatedServers) { ExpectUndisturbed(ElasticJob(), 2, 1); }

TEST(PoolChange, OfAllServersWithInPlaceService) {
  JobSpec spec = ElasticJob();
  spec.attention.in_place = true;
  ExpectUndisturbed(spec, 2, 2);
}

TEST(PoolChange, ManyInARound) { ExpectUndisturbed(ElasticJob(), 8, 3); }

TEST(PoolChange, OfMicroBatches) {
  JobSpec spec = ElasticJob();
  spec.batch.chunks = 6;
  spec.attention.in_place = true;
  ExpectUndisturbed(spec, 4, 4);
}

TEST(PoolChange, FourWorkersUnderAWindowWithoutPingPong) {
  JobSpec spec = ElasticJob();
  spec.workers = 4;
  spec.batch.chunks = 4;
  spec.model.mask.window = 20;
  spec.training.ping_pong = false;
  ExpectUndisturbed(spec, 3, 5);
}

// One document of 32 tokens: ping has 8 on each of three workers, pong the rest, on the last one.
Plan OneDocument(int32_t dedicated) {
  constexpr int64_t kShard = 8;
  Plan plan;
  plan.step = 1;
  plan.workers = 3;
  plan.dedicated_servers = dedicated;
  plan.documents = {{0, 0, 4 * kShard, 4 * kShard}};
  plan.micro_batches.resize(1);
  MicroBatch& micro_batch = plan.micro_batches[0];
  micro_batch.chunks.resize(3);
  for (int32_t rank = 0; rank < 3; ++rank) {
    const int64_t begin = rank * kShard;
    micro_batch.chunks[rank].nano_batches[0] = {{0, begin, begin + kShard}};
    micro_batch.tasks[0].push_back({0, begin, begin + kShard, 0, begin + kShard, rank});
  }
  micro_batch.chunks[2].nano_batches[1] = {{0, 3 * kShard, 4 * kShard}};
  return plan;
}

// Worker 1 waits for the pong of a layer, whose keys it has one server for. The pong of the layer
// below needs the others alone, and worker 0 has it. In the next pool one task has the keys of both
// workers.
TEST(PoolChange, ATaskHasMoreHomesInTheNextPool) {
  JobSpec spec = ElasticJob();
  spec.workers = 3;
  spec.batch.chunks = 3;
  spec.batch.max_document_tokens = 64;  // A chunk: the plan is made here.
  spec.attention.dedicated = 2;
  spec.attention.in_place = true;
  const Corpus corpus{{33}};
  const Plan plan = [] {
    Plan result = OneDocument(2);
    result.micro_batches[0].tasks[1] = {
        {0, 24, 32, 0, 8, 3}, {0, 24, 32, 8, 16, 4}, {0, 24, 32, 16, 32, 2}};
    return result;
  }();
  Plan next = OneDocument(1);
  next.micro_batches[0].tasks[1] = {{0, 24, 32, 0, 32, 3}};
  for (const Plan* each : {&plan, static_cast<const Plan*>(&next)}) {
    ASSERT_TRUE(CheckPlan(*each, spec.model.mask).ok()) << CheckPlan(*each, spec.model.mask);
  }
  ASSERT_EQ(spec.model.layers, 2);
  ScriptedChange change;
  change.lost = {4, 1, {0, 1, 1, Direction::kBackward}};
  change.late = "0: micro-batch 0 layer 0 ping backward is late";
  change.plan = std::make_shared<Plan>(next);

  ElasticGroup calm(spec, corpus, 0, 1);
  ElasticGroup group(spec, corpus, 0, 1, change);
  const auto expected = calm.Train(std::make_shared<Plan>(plan));
  const auto loss = group.Train(std::make_shared<Plan>(plan));
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(*loss, *expected, kTolerance * *expected);
  // What the backward pass has made of the weights.
  const auto expected_after = calm.Validate();
  const auto after = group.Validate();
  ASSERT_TRUE(after.ok() && expected_after.ok()) << after.status() << expected_after.status();
  EXPECT_NE(*after, *loss);
  EXPECT_NEAR(*after, *expected_after, kTolerance * *expected_after);
}

}  // namespace
}  // namespace rally::testing
