#include <functional>
#include <limits>
#include <map>
#include <string>

#include <absl/strings/ascii.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"

namespace rally {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

v1::JobSpec Minimal() {
  v1::JobSpec message;
  message.mutable_data()->set_path("data");
  return message;
}

TEST(ConvertSpecTest, AbsentFieldsTakeTheDefaults) {
  const absl::StatusOr<JobSpec> spec = FromProto(Minimal());
  ASSERT_TRUE(spec.ok()) << spec.status();
  JobSpec defaults;
  defaults.data.path = "data";
  EXPECT_EQ(ToProto(*spec).SerializeAsString(), ToProto(defaults).SerializeAsString());
}

TEST(ConvertSpecTest, DefaultsThatFollowOtherFields) {
  v1::JobSpec message = Minimal();
  message.mutable_batch()->set_chunk_tokens(64);
  message.mutable_optimizer()->set_learning_rate(5e-5);
  const absl::StatusOr<JobSpec> spec = FromProto(message);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->batch.max_document_tokens, 64);
  EXPECT_EQ(spec->optimizer.min_learning_rate, 5e-5);
}

// Sets every scalar below `message` that can be set to something of its own.
TEST(ConvertSpecTest, EveryFieldSurvivesTheRoundTrip) {
  v1::JobSpec message;
  v1::ModelSpec* model = message.mutable_model();
  model->set_layers(3);
  model->set_hidden_size(96);
  model->set_feed_forward_size(200);
  model->set_heads(6);
  model->set_kv_heads(3);
  model->set_head_dim(32);
  model->set_vocabulary(1000);
  model->set_tie_embeddings(true);
  model->set_rope_theta(5000.0);
  model->set_rms_norm_epsilon(1e-6);
  model->set_sliding_window(128);
  message.mutable_data()->set_path("somewhere");
  message.mutable_data()->set_shuffle(false);
  message.mutable_data()->set_seed(7);
  message.mutable_data()->set_validation_fraction(0.25);
  message.mutable_batch()->set_chunk_tokens(512);
  message.mutable_batch()->set_chunks(8);
  message.mutable_batch()->set_max_document_tokens(1024);
  v1::OptimizerSpec* optimizer = message.mutable_optimizer();
  optimizer->set_learning_rate(0.01);
  optimizer->set_min_learning_rate(0.001);
  optimizer->set_warmup_steps(5);
  optimizer->set_beta1(0.8);
  optimizer->set_beta2(0.99);
  optimizer->set_epsilon(1e-7);
  optimizer->set_weight_decay(0.2);
  optimizer->set_gradient_clip(2.0);
  message.mutable_training()->set_steps(50);
  message.mutable_training()->set_seed(9);
  message.mutable_training()->set_compute_type(v1::COMPUTE_TYPE_BFLOAT16);
  message.mutable_training()->set_ping_pong(false);
  message.set_workers(4);
  message.mutable_attention()->set_dedicated(2);
  message.mutable_attention()->set_in_place(true);
  message.mutable_attention()->set_tolerance(0.1);
  message.mutable_attention()->set_planner(v1::PLANNER_GREEDY);
  message.mutable_validation()->set_every(10);
  message.mutable_validation()->set_chunks(4);
  message.mutable_checkpoint()->set_directory("checkpoints");
  message.mutable_checkpoint()->set_every(10);
  message.mutable_checkpoint()->set_keep(2);
  message.mutable_checkpoint()->set_resume(true);
  message.set_priority(-5);
  message.set_max_restarts(1);
  message.set_deterministic(true);
  message.set_min_workers(2);
  message.set_worker_wait_seconds(0);
  message.set_deadline_seconds(3600);
  const absl::StatusOr<JobSpec> spec = FromProto(message);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(ToProto(*spec).ShortDebugString(), message.ShortDebugString());
}

constexpr char kProfile[] =
    "rally-profile 1\nname test\nelement-bytes 4\nattention-shape 1 1 32\n"
    "layer-parameters 1000\nattention forward 1 1 1e6\nattention backward 1 1 1e6\n"
    "linear forward 1 1\nlinear backward 1 1\n"
    "transfer same-process 1 1\ntransfer same-process 2 2\n"
    "transfer same-node 1 1\ntransfer same-node 2 2\n"
    "transfer across-nodes 1 1\ntransfer across-nodes 2 2\n";

v1::JobSpec Paced() {
  v1::JobSpec message = Minimal();
  message.set_workers(4);
  v1::PacedSpec* paced = message.mutable_paced();
  paced->set_profile(kProfile);
  paced->set_time_scale(20.0);
  paced->set_message_scale(0.5);
  paced->set_stages(2);
  paced->set_ranks_per_node(8);
  return message;
}

TEST(ConvertSpecTest, APacedJobSurvivesTheRoundTrip) {
  const absl::StatusOr<JobSpec> spec = FromProto(Paced());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->paced.enabled());
  EXPECT_EQ(spec->replicas(), 2);
  EXPECT_EQ(spec->topology().workers, 4);
  EXPECT_EQ(ToProto(*spec).paced().ShortDebugString(), Paced().paced().ShortDebugString());
  EXPECT_FALSE(ToProto(*FromProto(Minimal())).has_paced());
}

TEST(ConvertSpecTest, OnlyAPacedJobHasStages) {
  v1::JobSpec message = Paced();
  message.mutable_paced()->clear_profile();
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              HasSubstr("paced.profile: required when paced.stages is 2"));
  message = Paced();
  message.mutable_paced()->set_profile("not a profile\n");
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              HasSubstr("paced.profile: line 1"));
}

TEST(ConvertSpecTest, APacedJobNeedsAllItsWorkers) {
  v1::JobSpec message = Paced();
  message.set_min_workers(2);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              StartsWith("min_workers: 2 is not 4, which is workers: a paced job"));
  message.set_min_workers(4);
  EXPECT_TRUE(FromProto(message).ok());
}

TEST(ConvertSpecTest, StagesDivideWorkersAndLayers) {
  v1::JobSpec message = Paced();
  message.mutable_paced()->set_stages(3);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              HasSubstr("paced.stages: 3 is not in the divisors of workers, which is 4"));
  message = Paced();
  message.mutable_model()->set_layers(3);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              HasSubstr("paced.stages: 2 is not in the divisors of model.layers, which is 3"));
}

// The wire's names are those of files and commands.
TEST(ConvertSpecTest, EveryPlannerSurvivesTheRoundTripUnderItsName) {
  for (int value = v1::PLANNER_RALLY; v1::Planner_IsValid(value); ++value) {
    v1::JobSpec message = Minimal();
    message.mutable_attention()->set_planner(static_cast<v1::Planner>(value));
    const absl::StatusOr<JobSpec> spec = FromProto(message);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(ToProto(*spec).attention().planner(), value);
    EXPECT_EQ("PLANNER_" + absl::AsciiStrToUpper(PlannerName(spec->attention.planner)),
              v1::Planner_Name(message.attention().planner()));
  }
}

TEST(ConvertSpecTest, AJobWithoutAPoolIsPlannedLocally) {
  v1::JobSpec message = Minimal();
  message.mutable_attention()->set_planner(v1::PLANNER_GREEDY);
  EXPECT_EQ(FromProto(message)->planner(), PlannerKind::kLocal);
  message.mutable_attention()->set_in_place(true);
  EXPECT_EQ(FromProto(message)->planner(), PlannerKind::kGreedy);
}

struct RangeCase {
  std::string field;
  std::string value;
  std::string range;
  std::function<void(v1::JobSpec*)> spoil;
};

class ConvertSpecRangeTest : public testing::TestWithParam<RangeCase> {};

TEST_P(ConvertSpecRangeTest, TheErrorNamesFieldValueAndRange) {
  v1::JobSpec message = Minimal();
  GetParam().spoil(&message);
  const absl::Status status = FromProto(message).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string text(status.message());
  EXPECT_THAT(text, StartsWith(GetParam().field + ": "));
  EXPECT_THAT(text, HasSubstr(GetParam().value));
  EXPECT_THAT(text, HasSubstr(GetParam().range));
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
#define RALLY_SPOIL(statement) [](v1::JobSpec* s) { s->statement; }

INSTANTIATE_TEST_SUITE_P(
    Ranges, ConvertSpecRangeTest,
    testing::Values(
        RangeCase{"model.layers", "0", "[1, 1024]", RALLY_SPOIL(mutable_model()->set_layers(0))},
        RangeCase{"model.hidden_size", "7", "[8, 65536]",
                  RALLY_SPOIL(mutable_model()->set_hidden_size(7))},
        RangeCase{"model.feed_forward_size", "262145", "[8, 262144]",
                  RALLY_SPOIL(mutable_model()->set_feed_forward_size(262145))},
        RangeCase{"model.heads", "513", "[1, 512]", RALLY_SPOIL(mutable_model()->set_heads(513))},
        RangeCase{"model.kv_heads", "5", "[1, 4]", RALLY_SPOIL(mutable_model()->set_kv_heads(5))},
        RangeCase{"model.kv_heads", "3", "model.heads, which is 4",
                  RALLY_SPOIL(mutable_model()->set_kv_heads(3))},
        RangeCase{"model.head_dim", "48", "{32, 64, 96, 128, 192, 256}",
                  RALLY_SPOIL(mutable_model()->set_head_dim(48))},
        RangeCase{"model.vocabulary", "1000001", "1000000]",
                  RALLY_SPOIL(mutable_model()->set_vocabulary(1000001))},
        RangeCase{"model.rope_theta", "0", "(0, 1e+09]",
                  RALLY_SPOIL(mutable_model()->set_rope_theta(0.0))},
        RangeCase{"model.rms_norm_epsilon", "2", "(0, 1]",
                  RALLY_SPOIL(mutable_model()->set_rms_norm_epsilon(2.0))},
        RangeCase{"model.sliding_window", "-1", "[0, 1099511627776]",
                  RALLY_SPOIL(mutable_model()->set_sliding_window(-1))},
        RangeCase{"data.path", "required", "rally data prepare",
                  RALLY_SPOIL(mutable_data()->set_path(""))},
        RangeCase{"data.validation_fraction", "0.6", "[0, 0.5]",
                  RALLY_SPOIL(mutable_data()->set_validation_fraction(0.6))},
        RangeCase{"batch.chunk_tokens", "15", "[16, 4194304]",
                  RALLY_SPOIL(mutable_batch()->set_chunk_tokens(15))},
        RangeCase{"batch.chunks", "0", "[1, 65536]", RALLY_SPOIL(mutable_batch()->set_chunks(0))},
        RangeCase{"batch.max_document_tokens", "4096", "[16, 2048]",
                  RALLY_SPOIL(mutable_batch()->set_max_document_tokens(4096))},
        RangeCase{"optimizer.learning_rate", "0", "(0, 10]",
                  RALLY_SPOIL(mutable_optimizer()->set_learning_rate(0.0))},
        RangeCase{"optimizer.learning_rate", "nan", "(0, 10]",
                  RALLY_SPOIL(mutable_optimizer()->set_learning_rate(kNan))},
        RangeCase{"optimizer.min_learning_rate", "0.002", "[0, 0.001]",
                  RALLY_SPOIL(mutable_optimizer()->set_min_learning_rate(0.002))}));

INSTANTIATE_TEST_SUITE_P(
    MoreRanges, ConvertSpecRangeTest,
    testing::Values(
        RangeCase{"optimizer.warmup_steps", "-1", "[0, 10000000]",
                  RALLY_SPOIL(mutable_optimizer()->set_warmup_steps(-1))},
        RangeCase{"optimizer.beta1", "1", "[0, 1)",
                  RALLY_SPOIL(mutable_optimizer()->set_beta1(1.0))},
        RangeCase{"optimizer.beta2", "-0.1", "[0, 1)",
                  RALLY_SPOIL(mutable_optimizer()->set_beta2(-0.1))},
        RangeCase{"optimizer.epsilon", "0", "(0, 1]",
                  RALLY_SPOIL(mutable_optimizer()->set_epsilon(0.0))},
        RangeCase{"optimizer.weight_decay", "11", "[0, 10]",
                  RALLY_SPOIL(mutable_optimizer()->set_weight_decay(11.0))},
        RangeCase{"optimizer.gradient_clip", "-1", "[0, 1e+06]",
                  RALLY_SPOIL(mutable_optimizer()->set_gradient_clip(-1.0))},
        RangeCase{"training.steps", "0", "[1, 10000000]",
                  RALLY_SPOIL(mutable_training()->set_steps(0))},
        RangeCase{
            "training.compute_type", "9", "{FLOAT32 (1), BFLOAT16 (2)}",
            RALLY_SPOIL(mutable_training()->set_compute_type(static_cast<v1::ComputeType>(9)))},
        RangeCase{"workers", "0", "[1, 1024]", RALLY_SPOIL(set_workers(0))},
        RangeCase{"attention.dedicated", "-1", "[0, 1024]",
                  RALLY_SPOIL(mutable_attention()->set_dedicated(-1))},
        RangeCase{"attention.tolerance", "0", "(0, 1]",
                  RALLY_SPOIL(mutable_attention()->set_tolerance(0.0))},
        RangeCase{"attention.planner", "9", "{rally, arrival, local",
                  RALLY_SPOIL(mutable_attention()->set_planner(static_cast<v1::Planner>(9)))},
        RangeCase{"validation.every", "-1", "[0, 10000000]",
                  RALLY_SPOIL(mutable_validation()->set_every(-1))},
        RangeCase{"validation.chunks", "0", "[1, 65536]",
                  RALLY_SPOIL(mutable_validation()->set_chunks(0))},
        RangeCase{"checkpoint.every", "-1", "[0, 10000000]",
                  RALLY_SPOIL(mutable_checkpoint()->set_every(-1))},
        RangeCase{"checkpoint.keep", "0", "[1, 10000]",
                  RALLY_SPOIL(mutable_checkpoint()->set_keep(0))},
        RangeCase{"checkpoint.directory", "required", "checkpoint.resume is true",
                  RALLY_SPOIL(mutable_checkpoint()->set_resume(true))},
        RangeCase{"paced.time_scale", "0", "(0, 1e+06]",
                  RALLY_SPOIL(mutable_paced()->set_time_scale(0.0))},
        RangeCase{"paced.message_scale", "1.5", "[0, 1]",
                  RALLY_SPOIL(mutable_paced()->set_message_scale(1.5))},
        RangeCase{"paced.stages", "2", "[1, 1]", RALLY_SPOIL(mutable_paced()->set_stages(2))},
        RangeCase{"paced.ranks_per_node", "-1", "[0, 4096]",
                  RALLY_SPOIL(mutable_paced()->set_ranks_per_node(-1))},
        RangeCase{"priority", "1001", "[-1000, 1000]", RALLY_SPOIL(set_priority(1001))},
        RangeCase{"max_restarts", "-1", "[0, 1000]", RALLY_SPOIL(set_max_restarts(-1))},
        RangeCase{"min_workers", "2", "[1, 1]", RALLY_SPOIL(set_min_workers(2))},
        RangeCase{"worker_wait_seconds", "86401", "[0, 86400]",
                  RALLY_SPOIL(set_worker_wait_seconds(86401))},
        RangeCase{"deadline_seconds", "-1", "[0, 1000000000]",
                  RALLY_SPOIL(set_deadline_seconds(-1))}));

// Each factor alone is in range.
TEST(ConvertSpecTest, ABatchIsNotOfMoreDocumentsThanCanBePlanned) {
  v1::JobSpec message = Minimal();
  message.mutable_batch()->set_chunk_tokens(4194304);
  message.mutable_batch()->set_chunks(65536);
  message.mutable_batch()->set_max_document_tokens(4194304);
  EXPECT_TRUE(FromProto(message).ok());
  message.mutable_batch()->set_max_document_tokens(16);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              StartsWith("batch.chunks: 65536 chunks of 4194304 tokens are 17179869184 documents"));
}

TEST(ConvertSpecTest, ADocumentsChunksMustDivideWorkersAndChunks) {
  v1::JobSpec message = Minimal();
  message.set_workers(3);
  message.mutable_batch()->set_chunk_tokens(64);
  message.mutable_batch()->set_chunks(6);
  message.mutable_batch()->set_max_document_tokens(128);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              HasSubstr("must divide workers, which is 3"));
  message.set_workers(4);
  EXPECT_TRUE(FromProto(message).ok());
  message.mutable_batch()->set_chunks(5);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              HasSubstr("must divide batch.chunks, which is 5"));
}

TEST(ConvertSpecTest, ADocumentsChunksMustDivideTheFewestWorkersToo) {
  v1::JobSpec message = Minimal();
  message.set_workers(6);
  message.set_min_workers(3);
  message.mutable_batch()->set_chunk_tokens(64);
  message.mutable_batch()->set_chunks(6);
  message.mutable_batch()->set_max_document_tokens(128);
  EXPECT_THAT(std::string(FromProto(message).status().message()),
              StartsWith("min_workers: 3 is not a multiple of 2"));
  message.set_min_workers(2);
  const absl::StatusOr<JobSpec> spec = FromProto(message);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::map<int64_t, int32_t> allowed = {{1, 0}, {2, 2}, {3, 2}, {5, 4}, {6, 6}, {9, 6}};
  for (const auto& [available, workers] : allowed) {
    EXPECT_EQ(spec->AllowedWorkers(available), workers) << available;
  }
}

TEST(ConvertSpecTest, AllWorkersAreNeededUnlessTheJobSaysOtherwise) {
  v1::JobSpec message = Minimal();
  message.set_workers(3);
  const absl::StatusOr<JobSpec> spec = FromProto(message);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->AllowedWorkers(2), 0);
  EXPECT_EQ(ToProto(*spec).min_workers(), 3);
}

TEST(ConvertTimeTest, SurvivesTheRoundTripToTheNanosecond) {
  const absl::Time time = absl::FromUnixNanos(1700000000123456789);
  EXPECT_EQ(FromProto(ToProto(time)), time);
  const absl::Duration duration = absl::Nanoseconds(-1500000001);
  EXPECT_EQ(FromProto(ToProto(duration)), duration);
}

}  // namespace
}  // namespace rally
