#include "services/job_file/job_file.h"

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;

// The message of the error that `text` must give as a job file called job.yaml.
std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<JobFile> file = ParseJobFile(text, "job.yaml");
  if (file.ok()) return "no error";
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(file.status().message());
}

TEST(JobFileTest, ReadsEveryKindOfValue) {
  const absl::StatusOr<JobFile> file = ParseJobFile(
      "# A comment.\n"
      "id: my-job\n"
      "model:\n"
      "  layers: 2\n"
      "  tie_embeddings: true\n"
      "  rope_theta: 5e5\n"
      "data: {path: 'a dir', seed: 18446744073709551615}\n"
      "training:\n"
      "  compute_type: bfloat16\n"
      "workers: 2\n",
      "job.yaml");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->id, "my-job");
  EXPECT_EQ(file->spec.model().layers(), 2);
  EXPECT_TRUE(file->spec.model().tie_embeddings());
  EXPECT_EQ(file->spec.model().rope_theta(), 5e5);
  EXPECT_FALSE(file->spec.model().has_heads());
  EXPECT_EQ(file->spec.data().path(), "a dir");
  EXPECT_EQ(file->spec.data().seed(), 18446744073709551615u);
  EXPECT_EQ(file->spec.training().compute_type(), v1::COMPUTE_TYPE_BFLOAT16);
  EXPECT_EQ(file->spec.workers(), 2);
  EXPECT_EQ(file->lines.at("model.rope_theta"), 6);
}

TEST(JobFileTest, AMappingWithNothingBelowIsAbsent) {
  const absl::StatusOr<JobFile> file = ParseJobFile("model:\nworkers: 1\n", "job.yaml");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->spec.has_model());
}

TEST(JobFileTest, AnUnknownFieldSuggestsANeighbour) {
  EXPECT_EQ(ErrorOf("workers: 2\nmodel:\n  head_dims: 64\n"),
            "job.yaml:3: model.head_dims: unknown field; did you mean head_dim?");
}

TEST(JobFileTest, AnUnknownFieldSuggestsItsPlaceElsewhere) {
  EXPECT_EQ(ErrorOf("learning_rate: 1\n"),
            "job.yaml:1: learning_rate: unknown field; did you mean optimizer.learning_rate?");
}

TEST(JobFileTest, AnUnknownFieldWithoutNeighbourListsAll) {
  EXPECT_EQ(ErrorOf("validation:\n  colour: red\n"),
            "job.yaml:2: validation.colour: unknown field; known are every, chunks");
}

TEST(JobFileTest, AWrongTypeNamesTheAcceptedOne) {
  EXPECT_EQ(ErrorOf("model:\n  layers: four\n"),
            "job.yaml:2: model.layers: four is not a whole number in [-2^63, 2^63)");
  EXPECT_EQ(ErrorOf("model:\n  layers: 2.5\n"),
            "job.yaml:2: model.layers: 2.5 is not a whole number in [-2^63, 2^63)");
  EXPECT_EQ(ErrorOf("model:\n  layers: '4'\n"),
            "job.yaml:2: model.layers: \"4\" is not a whole number in [-2^63, 2^63)");
  EXPECT_EQ(ErrorOf("workers: 99999999999\n"),
            "job.yaml:1: workers: 99999999999 is not a whole number in [-2147483648, 2147483647]");
  EXPECT_EQ(ErrorOf("data: {seed: -1}\n"),
            "job.yaml:1: data.seed: -1 is not a whole number in [0, 2^64)");
  EXPECT_EQ(ErrorOf("attention:\n  in_place: maybe\n"),
            "job.yaml:2: attention.in_place: maybe is not true or false");
  EXPECT_EQ(ErrorOf("optimizer:\n  beta1: nan\n"),
            "job.yaml:2: optimizer.beta1: nan is not a number");
  EXPECT_EQ(ErrorOf("training:\n  compute_type: float16\n"),
            "job.yaml:2: training.compute_type: float16 is not one of float32, bfloat16");
}

TEST(JobFileTest, AWrongShapeNamesTheAcceptedOne) {
  EXPECT_EQ(ErrorOf("workers: [1, 2]\n"),
            "job.yaml:1: workers: is a list; accepted is a whole number in [-2147483648, "
            "2147483647]");
  EXPECT_EQ(ErrorOf("workers:\n"),
            "job.yaml:1: workers: is empty; accepted is a whole number in [-2147483648, "
            "2147483647]");
  EXPECT_EQ(ErrorOf("validation: 3\n"),
            "job.yaml:1: validation: is a single value; accepted is a mapping of every, chunks");
  EXPECT_THAT(ErrorOf("- a\n- b\n"),
              HasSubstr("job.yaml:1: job file: is a list; accepted is a mapping of model, data"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("job.yaml:1: the file is empty"));
  EXPECT_EQ(ErrorOf("workers: 1\n---\nworkers: 2\n"),
            "job.yaml:2: a second YAML document begins; accepted is one");
}

// YAML's parser does not advance on such: a document that is empty, then another one, and so on.
TEST(JobFileTest, TextThatIsNoDocumentEnds) {
  EXPECT_THAT(ErrorOf(","), HasSubstr("job.yaml:1: "));
  EXPECT_THAT(ErrorOf("workers: 1\n, 2\n"), HasSubstr("job.yaml:"));
  EXPECT_THAT(ErrorOf("]"), HasSubstr("job.yaml:1: "));
}

TEST(JobFileTest, ADuplicateKeyNamesBothLines) {
  EXPECT_EQ(ErrorOf("workers: 1\npriority: 2\nworkers: 3\n"),
            "job.yaml:3: workers: given twice, first on line 1");
}

TEST(JobFileTest, BrokenYamlNamesItsLine) {
  EXPECT_THAT(ErrorOf("workers: 1\nmodel: {layers: 2\n"), HasSubstr("not YAML: "));
  EXPECT_THAT(ErrorOf("workers: 1\n\tmodel: 2\n"), HasSubstr("job.yaml:2: not YAML: "));
}

TEST(JobFileTest, RangesAreCheckedOnReadingAndNameTheirLine) {
  const std::string path = testing::TempDir() + "/ranges.yaml";
  std::ofstream(path) << "data: {path: d}\nmodel:\n  head_dim: 48\n";
  const absl::StatusOr<JobFile> file = ReadJobFile(path);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr(path + ":3: model.head_dim: 48"));
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("32, 64, 96, 128, 192, 256"));
}

TEST(JobFileTest, LocateFindsTheLineOfAField) {
  const absl::StatusOr<JobFile> file =
      ParseJobFile("workers: 1\nmodel:\n  layers: 2\n  head_dim: 48\n", "job.yaml");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto located = [&](const char* message) {
    return std::string(file->Locate(absl::InvalidArgumentError(message)).message());
  };
  EXPECT_EQ(located("model.head_dim: 48 is not one of 32, 64"),
            "job.yaml:4: model.head_dim: 48 is not one of 32, 64");
  EXPECT_EQ(located("model.heads: 5"), "job.yaml:2: model.heads: 5");  // Not there: its mapping.
  EXPECT_EQ(located("data.path: required"), "job.yaml: data.path: required");
  EXPECT_TRUE(file->Locate(absl::OkStatus()).ok());
}

TEST(JobFileTest, WhatIsWrittenReadsBackTheSame) {
  v1::JobSpec spec;
  spec.mutable_model()->set_layers(3);
  spec.mutable_model()->set_rms_norm_epsilon(1e-5);
  spec.mutable_model()->set_rope_theta(0.1 + 0.2);
  spec.mutable_data()->set_path("yes: # \"odd\"\n2");
  spec.mutable_data()->set_shuffle(false);
  spec.mutable_data()->set_seed(18446744073709551615u);
  spec.mutable_training()->set_compute_type(v1::COMPUTE_TYPE_BFLOAT16);
  spec.mutable_checkpoint()->set_directory("true");
  spec.set_workers(2);
  spec.set_priority(-7);
  const std::string text = FormatJobFile(spec, "my-job");
  const absl::StatusOr<JobFile> file = ParseJobFile(text, "job.yaml");
  ASSERT_TRUE(file.ok()) << file.status() << "\n" << text;
  EXPECT_TRUE(MessageDifferencer::Equals(file->spec, spec)) << text;
  EXPECT_EQ(file->id, "my-job");
}

// Inside a block scalar YAML takes any bytes; messages do not.
TEST(JobFileTest, BytesThatAreNotUtf8AreRefused) {
  const auto file =
      ParseJobFile("data: {path: d}\npaced:\n  profile: |\n    \xff\xfe\n", "job.yaml");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().message(), "job.yaml:4: not UTF-8");
  EXPECT_FALSE(ParseJobFile("id: \xed\xa0\x80", "job.yaml").ok()) << "a surrogate";
}

TEST(JobFileTest, AMissingFileIsNotFound) {
  const absl::StatusOr<JobFile> file = ReadJobFile("/does/not/exist.yaml");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("/does/not/exist.yaml"));
}

}  // namespace
}  // namespace rally
