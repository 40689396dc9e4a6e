#include "workers/model/checkpoint.h"

#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "tests/common/temp_directory.h"
#include "tests/model/training_group.h"
#include "workers/model/model_config.h"
#include "workers/model/safetensors.h"

namespace rally::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    spec_ = TinyJob();
    spec_.checkpoint.directory = directory_.path("checkpoints");
  }

  absl::StatusOr<uint64_t> ChecksumAfter(int64_t step, JobSpec spec) {
    TrainingGroup group(spec, corpus_, ReferenceServices());
    const auto losses = group.TrainUntil(step);
    if (!losses.ok()) return losses.status();
    return group.trainer(0).WeightsChecksum();
  }

  // Trains `steps` steps and leaves a checkpoint.
  std::string TrainAndSave(int64_t steps) {
    TrainingGroup group(spec_, corpus_, ReferenceServices());
    EXPECT_TRUE(group.TrainUntil(steps).ok());
    const auto folder = group.trainer(0).SaveCheckpoint();
    EXPECT_TRUE(folder.ok()) << folder.status();
    return folder.value_or("");
  }

  absl::Status Restore(const JobSpec& spec) {
    TrainingGroup group(spec, corpus_, ReferenceServices());
    return group.trainer(0).Restore().status();
  }

  void FlipByte(const std::string& path, int64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(offset);
    file.put(byte);
  }

  TempDirectory directory_;
  JobSpec spec_;
  const Corpus corpus_{{40, 1, 63, 24, 130, 17, 5}};
};

TEST_F(CheckpointTest, ResumedTrainingIsBitIdentical) {
  const auto straight = ChecksumAfter(60, spec_);
  ASSERT_TRUE(straight.ok()) << straight.status();
  const std::string folder = TrainAndSave(30);
  EXPECT_EQ(folder, spec_.checkpoint.directory + "/step-00000030");
  TrainingGroup resumed(spec_, corpus_, ReferenceServices());
  const auto position = resumed.trainer(0).Restore();
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_EQ(position->step, 30);
  const auto losses = resumed.TrainUntil(60);
  ASSERT_TRUE(losses.ok()) << losses.status();
  EXPECT_EQ(losses->size(), 30u);
  EXPECT_EQ(resumed.trainer(0).WeightsChecksum(), *straight);
}

TEST_F(CheckpointTest, TwoRunsAreBitIdentical) {
  JobSpec spec = spec_;
  spec.workers = 2;
  spec.attention.in_place = true;
  const auto first = ChecksumAfter(10, spec);
  const auto second = ChecksumAfter(10, spec);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, *second);
}

TEST_F(CheckpointTest, CallsASlidingWindowByItsHuggingFaceName) {
  JobSpec spec;
  spec.model.mask.window = 512;
  const auto config = nlohmann::json::parse(ModelConfigText(spec));
  EXPECT_EQ(config["architectures"][0], "MistralForCausalLM");
  EXPECT_EQ(config["model_type"], "mistral");
  EXPECT_EQ(config["sliding_window"], 512);
  EXPECT_TRUE(CheckModelConfig(ModelConfigText(spec), spec).ok());
}

TEST_F(CheckpointTest, WritesWhatHuggingFaceReads) {
  const std::string folder = TrainAndSave(1);
  const auto config = nlohmann::json::parse(*ReadFile(folder + "/config.json"));
  EXPECT_EQ(config["architectures"][0], "LlamaForCausalLM");
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_EQ(config["sliding_window"], nullptr);
  const std::string model = *ReadFile(folder + "/model.safetensors");
  uint64_t header_size = 0;
  std::memcpy(&header_size, model.data(), sizeof(header_size));
  EXPECT_EQ((header_size + 8) % 64, 0u);
  const auto header = nlohmann::json::parse(model.substr(8, header_size));
  const auto& q = header.at("model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(q["dtype"], "F32");
  EXPECT_EQ(q["shape"], nlohmann::json::parse("[128, 32]"));
  EXPECT_EQ(header.count("lm_head.weight"), 1u);
  uint64_t largest_end = 0;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      largest_end = std::max(largest_end, entry["data_offsets"][1].get<uint64_t>());
    }
  }
  EXPECT_EQ(model.size(), 8 + header_size + largest_end);
}

TEST_F(CheckpointTest, KeepsTheNewest) {
  spec_.checkpoint.keep = 2;
  for (const int64_t steps : {1, 2, 3}) TrainAndSave(steps);
  EXPECT_EQ(*ListCheckpoints(spec_.checkpoint), (std::vector<int64_t>{2, 3}));
}

TEST_F(CheckpointTest, SavingTheSameStepAgainChangesNothing) {
  const std::string folder = TrainAndSave(1);
  const auto written = fs::last_write_time(folder + "/trainer.json");
  EXPECT_EQ(TrainAndSave(1), folder);
  EXPECT_EQ(fs::last_write_time(folder + "/trainer.json"), written);
}

TEST_F(CheckpointTest, DamageIsFoundAndNamed) {
  const std::string folder = TrainAndSave(1);
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "config.json"}) {
    const std::string path = folder + "/" + name;
    FlipByte(path, static_cast<int64_t>(fs::file_size(path)) / 2);
    const absl::Status status = Restore(spec_);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    FlipByte(path, static_cast<int64_t>(fs::file_size(path)) / 2);
  }
  EXPECT_TRUE(Restore(spec_).ok());
  const std::string manifest = folder + "/trainer.json";
  auto edited = nlohmann::json::parse(*ReadFile(manifest));
  edited["data_position"]["index"] = -1;
  std::ofstream(manifest) << edited;
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr(manifest + " has a negative"));
  fs::resize_file(folder + "/optimizer.safetensors", 100);
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kDataLoss);
  fs::remove(folder + "/model.safetensors");
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr("model.safetensors is missing"));
  fs::resize_file(folder + "/trainer.json", 20);
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointTest, DamageOfTheNewestNamesTheWayBackToAnOlderOne) {
  std::vector<std::string> folders;
  for (const int64_t steps : {1, 2, 3}) folders.push_back(TrainAndSave(steps));
  FlipByte(folders[2] + "/model.safetensors", 1000);
  absl::Status status = Restore(spec_);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(folders[2] + "/model.safetensors is damaged"),
                    HasSubstr("to continue from step 2, which is whole, remove " + folders[2])));

  fs::remove(folders[1] + "/trainer.json");
  EXPECT_THAT(
      std::string(Restore(spec_).message()),
      HasSubstr("from step 1, which is whole, remove " + folders[2] + " and " + folders[1]));
  // Doing as told helps.
  fs::remove_all(folders[2]);
  fs::remove_all(folders[1]);
  EXPECT_TRUE(Restore(spec_).ok());

  FlipByte(folders[0] + "/config.json", 10);
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr("no older checkpoint"));
}

TEST_F(CheckpointTest, AnotherShapeIsRefusedByFieldName) {
  TrainAndSave(1);
  JobSpec other = spec_;
  other.model.feed_forward_size = 64;
  const absl::Status status = Restore(other);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("model.feed_forward_size is 64 in the job but 48 in the checkpoint"));
}

TEST_F(CheckpointTest, AnUnfinishedCheckpointDoesNotExist) {
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kNotFound);
  TrainAndSave(1);
  fs::create_directories(CheckpointPath(spec_.checkpoint, 2) + ".partial");
  EXPECT_EQ(*ListCheckpoints(spec_.checkpoint), (std::vector<int64_t>{1}));
  EXPECT_TRUE(Restore(spec_).ok());
  // The leftover does not disturb the next checkpoint of that step.
  TrainAndSave(2);
  EXPECT_FALSE(fs::exists(CheckpointPath(spec_.checkpoint, 2) + ".partial"));
}

TEST_F(CheckpointTest, AFailedWriteLeavesNothing) {
  TrainAndSave(1);
  // A file where a folder must go stands for a disk that refuses; root may write anywhere.
  JobSpec spec = spec_;
  spec.checkpoint.directory = directory_.path("file");
  std::ofstream(spec.checkpoint.directory) << "in the way";
  TrainingGroup group(spec, corpus_, ReferenceServices());
  ASSERT_TRUE(group.TrainUntil(1).ok());
  EXPECT_FALSE(group.trainer(0).SaveCheckpoint().ok());
  EXPECT_EQ(CheckCheckpointDirectory(spec.checkpoint).ok(), false);
}

TEST_F(CheckpointTest, ANewJobWantsADirectoryOfItsOwn) {
  EXPECT_TRUE(CheckCheckpointDirectory(CheckpointSpec()).ok());
  EXPECT_TRUE(CheckCheckpointDirectory(spec_.checkpoint).ok());
  EXPECT_TRUE(fs::is_empty(spec_.checkpoint.directory));
  TrainAndSave(3);
  const absl::Status status = CheckCheckpointDirectory(spec_.checkpoint);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("already holds step 3"), HasSubstr("checkpoint.resume")));
  spec_.checkpoint.resume = true;
  EXPECT_TRUE(CheckCheckpointDirectory(spec_.checkpoint).ok());
}

class SafetensorsTest : public ::testing::Test {
 protected:
  absl::Status Read(std::vector<int64_t> shape, const std::string& name = "a") {
    int64_t elements = 1;
    for (const int64_t size : shape) elements *= size;
    values_.assign(elements, 0.0f);
    const TensorTarget target{name, shape, absl::MakeSpan(values_)};
    return ReadSafetensors(path_, absl::MakeSpan(&target, 1));
  }
  void Write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  static std::string WithHeader(const std::string& json, const std::string& data) {
    const uint64_t size = json.size();
    return std::string(reinterpret_cast<const char*>(&size), 8) + json + data;
  }

  TempDirectory directory_;
  const std::string path_ = directory_.path("x.safetensors");
  std::vector<float> values_;
};

TEST_F(SafetensorsTest, RoundTrip) {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::vector<float> b = {-0.0f, 1e-40f, 3e38f};
  const TensorSource tensors[] = {{"a", {2, 3}, a}, {"b.weight", {3}, b}, {"none", {0, 4}, {}}};
  ASSERT_TRUE(WriteSafetensors(path_, tensors).ok());
  ASSERT_TRUE(Read({3}, "b.weight").ok());
  EXPECT_EQ(std::memcmp(values_.data(), b.data(), sizeof(float) * 3), 0);
  ASSERT_TRUE(Read({2, 3}).ok());
  EXPECT_EQ(values_, a);
  EXPECT_TRUE(Read({0, 4}, "none").ok());
  EXPECT_EQ(Read({3, 2}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read({1}, "missing").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SafetensorsTest, DamagedFilesAreErrors) {
  EXPECT_EQ(Read({1}).code(), absl::StatusCode::kNotFound);
  const std::string good = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const struct {
    const char* what;
    std::string bytes;
  } cases[] = {
      {"empty", ""},
      {"short size", "abc"},
      {"huge header", std::string(8, '\xff')},
      {"header cut", WithHeader(good, "").substr(0, 30)},
      {"data cut", WithHeader(good, "abc")},
      {"not JSON", WithHeader("{\"a\":", "abcd")},
      {"not an object", WithHeader("[1, 2]", "abcd")},
      {"no dtype", WithHeader(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "abcd")},
      {"offsets are text",
       WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":"x"}})", "abcd")},
      {"offsets of another size",
       WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "abcdefgh")},
      {"offsets past the end",
       WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[9000,9004]}})", "abcd")},
  };
  for (const auto& one : cases) {
    Write(one.bytes);
    const absl::Status status = Read({1});
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << one.what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_)) << one.what;
  }
  Write(WithHeader(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", "ab"));
  EXPECT_EQ(Read({1}).code(), absl::StatusCode::kFailedPrecondition);
  Write(WithHeader(good, "abcd"));
  EXPECT_TRUE(Read({1}).ok());
}

}  // namespace
}  // namespace rally::testing
