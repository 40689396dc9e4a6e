// A round whose attention servers change at any moment computes what it would have computed.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace rally::testing
