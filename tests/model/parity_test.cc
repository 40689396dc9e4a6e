// The same job must train the same way wherever its core attention is computed.
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "tests/model/training_group.h"

namespace rally::testing {
namespace {

constexpr int64_t kSteps = 50;

// Losses differ only by the order of float32 sums, some 1e-7 relative, grown by the steps. The
// learning rate is an ordinary one: at a reckless one training is chaotic and grows any rounding.
constexpr double kTolerance = 1e-5;

// In bfloat16 a plan's cuts also decide how the kernel rounds the terms it sums, each by 2^-9 of it
// at most, to either side. A loss is a mean over many of them: less than one such rounding.
constexpr double kBfloat16Tolerance = 1.0 / (1 << 9);

JobSpec ParityJob() {
  JobSpec spec = TinyJob();
  spec.optimizer.learning_rate = 2e-3;
  return spec;
}

struct Layout {
  const char* name;
  int32_t workers;
  AttentionSpec attention;
};

const Layout kLayouts[] = {
    {"two workers, local", 2, {0, false, 0.05}},
    {"two dedicated servers", 2, {2, false, 0.05}},
    {"in place", 2, {0, true, 0.05}},
    {"mixed", 2, {1, true, 0.05}},
};

JobSpec WithLayout(JobSpec spec, const Layout& layout) {
  spec.workers = layout.workers;
  spec.attention = layout.attention;
  return spec;
}

std::vector<double> Losses(const JobSpec& spec, const Corpus& corpus,
                           const ServiceMaker& services = AttentionServers(),
                           PlannerKind planner = PlannerKind::kArrival) {
  TrainingGroup group(spec, corpus, services, planner);
  auto losses = group.TrainUntil(kSteps);
  EXPECT_TRUE(losses.ok()) << losses.status();
  if (losses.ok() && spec.workers > 1) {
    EXPECT_EQ(group.trainer(0).WeightsChecksum(), group.trainer(1).WeightsChecksum());
  }
  return losses.ok() ? *losses : std::vector<double>();
}

void ExpectSame(const std::vector<double>& expected, const std::vector<double>& found,
                const std::string& what, double tolerance = kTolerance) {
  ASSERT_EQ(expected.size(), found.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], tolerance * expected[i]) << what << ", step " << i + 1;
  }
}

void ExpectEveryLayoutLike(const JobSpec& baseline, const Corpus& corpus) {
  const std::vector<double> expected = Losses(baseline, corpus);
  ASSERT_EQ(expected.size(), static_cast<size_t>(kSteps));
  for (const Layout& layout : kLayouts) {
    ExpectSame(expected, Losses(WithLayout(baseline, layout), corpus), layout.name);
  }
}

TEST(Parity, EveryInstructionSetAndReference) {
  for (const int64_t window : {0, 20}) {
    JobSpec spec = WithLayout(ParityJob(), kLayouts[3]);
    spec.model.mask.window = window;
    spec.batch.max_document_tokens = 128;
    const Corpus corpus{{128, 100, 3, 25, 77, 51}};
    const std::vector<double> expected = Losses(spec, corpus, ReferenceServices());
    for (const CpuInstructionSet set : AvailableCpuInstructionSets()) {
      ExpectSame(expected, Losses(spec, corpus, AttentionServers(set)),
                 std::string(CpuInstructionSetName(set)) +
                     (window == 0 ? ", causal" : ", sliding window"));
    }
  }
}

TEST(Parity, ShortDocuments) {
  ExpectEveryLayoutLike(ParityJob(), Corpus{{40, 1, 63, 24, 130, 17, 5}});
}

TEST(Parity, SlidingWindow) {
  JobSpec spec = ParityJob();
  spec.model.mask.window = 20;
  ExpectEveryLayoutLike(spec, Corpus{{40, 1, 63, 24, 130, 17, 5}});
}

TEST(Parity, TiedEmbeddings) {
  JobSpec spec = ParityJob();
  spec.model.tie_embeddings = true;
  ExpectEveryLayoutLike(spec, Corpus{{40, 1, 63, 24}});
}

// A document over two chunks has homes on both workers, so one worker cannot be the baseline.
TEST(Parity, DocumentsLongerThanAChunk) {
  JobSpec spec = ParityJob();
  spec.batch.max_document_tokens = 128;
  spec.workers = 2;
  const Corpus corpus{{128, 100, 3, 25, 77, 51}};
  const std::vector<double> expected = Losses(spec, corpus);
  for (const Layout& layout : kLayouts) {
    ExpectSame(expected, Losses(WithLayout(spec, layout), corpus), layout.name);
  }
  // The same documents in one chunk that holds them whole.
  JobSpec whole = spec;
  whole.workers = 1;
  whole.batch.chunk_tokens = 128;
  whole.batch.chunks = 1;
  ExpectSame(expected, Losses(whole, corpus), "one chunk of twice the tokens");
}

TEST(Parity, Bfloat16) {
  JobSpec spec = ParityJob();
  spec.training.compute_type = ComputeType::kBfloat16;
  spec.batch.max_document_tokens = 128;
  spec.workers = 2;
  const Corpus corpus{{128, 100, 3, 25, 77, 51}};
  const std::vector<double> expected = Losses(spec, corpus);
  for (const Layout& layout : kLayouts) {
    ExpectSame(expected, Losses(WithLayout(spec, layout), corpus), layout.name, kBfloat16Tolerance);
  }
  ExpectSame(expected, Losses(WithLayout(spec, kLayouts[3]), corpus, ReferenceServices()),
             "reference", kBfloat16Tolerance);
}

TEST(Parity, MicroBatchesAndEmptyChunks) {
  JobSpec spec = ParityJob();
  spec.batch.chunks = 3;  // Two workers: the last micro-batch leaves one without tokens.
  ExpectEveryLayoutLike(spec, Corpus{{40, 1, 63, 24, 130, 17, 5}});
}

TEST(Parity, WithoutPingPong) {
  const Corpus corpus{{40, 1, 63, 24, 130, 17, 5}};
  const std::vector<double> expected = Losses(ParityJob(), corpus);
  JobSpec spec = ParityJob();
  spec.training.ping_pong = false;
  ExpectSame(expected, Losses(spec, corpus), "one worker");
  ExpectSame(expected, Losses(WithLayout(spec, kLayouts[1]), corpus), "two dedicated servers");
}

// Where documents lie, how they are cut and who computes them changes nothing but the order of
// sums.
TEST(Parity, EveryPlanner) {
  JobSpec spec = ParityJob();
  spec.batch.max_document_tokens = 128;
  spec.batch.chunks = 4;
  spec.workers = 4;
  spec.attention.in_place = true;
  const Corpus corpus{{128, 100, 3, 25, 77, 51}};
  const std::vector<double> expected = Losses(spec, corpus);
  for (const PlannerKind planner :
       {PlannerKind::kLocal, PlannerKind::kGreedy, PlannerKind::kVariableLength,
        PlannerKind::kContextParallel, PlannerKind::kRing, PlannerKind::kHybrid}) {
    // Servers of their own change nothing where tasks stay at home.
    for (const AttentionSpec& attention : {AttentionSpec{0, true}, AttentionSpec{1, false}}) {
      spec.attention = attention;
      spec.training.ping_pong = attention.in_place;
      ExpectSame(expected, Losses(spec, corpus, AttentionServers(), planner),
                 std::string(PlannerName(planner)) + (attention.in_place ? "" : ", dedicated"));
    }
  }
}

TEST(Parity, ValidationLeavesTheTrainingAlone) {
  const Corpus corpus{{40, 1, 63, 24, 130, 17, 5}};
  TrainingGroup plain(ParityJob(), corpus, AttentionServers());
  TrainingGroup validated(ParityJob(), corpus, AttentionServers());
  ASSERT_TRUE(plain.TrainUntil(4).ok());
  ASSERT_TRUE(validated.TrainUntil(2).ok());
  const auto loss = validated.Validate();
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_GT(*loss, 0.0);
  ASSERT_TRUE(validated.TrainUntil(4).ok());
  EXPECT_EQ(plain.trainer(0).WeightsChecksum(), validated.trainer(0).WeightsChecksum());
}

}  // namespace
}  // namespace rally::testing
