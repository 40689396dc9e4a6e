#include "workers/model/checkpoint.h"

#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "tests/common/temp_directory.h"
#include "tests/model/training_group.h"
#include "tests/model/writer_group.h"
#include "workers/model/model_config.h"

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
    const auto folder = group.SaveCheckpoint();
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
  EXPECT_EQ(position->position.step, 30);
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
  const std::string good = *ReadFile(manifest);
  auto edited = nlohmann::ordered_json::parse(good);
  edited["data_position"]["index"] = 7;
  std::ofstream(manifest) << edited;
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr(manifest + " is damaged"));
  edited.erase("manifest_xxh3");
  std::ofstream(manifest) << edited;
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr("it has no manifest_xxh3"));
  edited["version"] = 3;
  std::ofstream(manifest) << edited;
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kFailedPrecondition);
  edited["version"] = 1;
  std::ofstream(manifest) << edited;
  EXPECT_TRUE(Restore(spec_).ok());
  edited["data_position"]["index"] = -1;
  std::ofstream(manifest) << edited;
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr(manifest + " has a negative"));
  std::ofstream(manifest) << good;
  fs::resize_file(folder + "/optimizer.safetensors", 100);
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kDataLoss);
  fs::remove(folder + "/model.safetensors");
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr("model.safetensors: No such file"));
  fs::resize_file(folder + "/trainer.json", 20);
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kDataLoss);
}

// A folder in a file's place stands for a disk that answers with an error.
TEST_F(CheckpointTest, WhatCannotBeReadNowIsNotDamaged) {
  TrainAndSave(1);
  const std::string folder = TrainAndSave(2);
  for (const char* name :
       {"trainer.json", "config.json", "model.safetensors", "optimizer.safetensors"}) {
    const std::string path = folder + "/" + name;
    fs::rename(path, path + ".away");
    fs::create_directory(path);
    const absl::Status status = Restore(spec_);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(path), HasSubstr("directory")));
    fs::remove(path);
    fs::rename(path + ".away", path);
  }
  EXPECT_TRUE(Restore(spec_).ok());
}

// A manifest that leaves its files out lets one that is missing pass the checksums.
TEST_F(CheckpointTest, AFileThatGoesWhileItIsReadIsNotACheckpointThatIsMissing) {
  const std::string folder = TrainAndSave(1);
  auto manifest = nlohmann::ordered_json::parse(*ReadFile(folder + "/trainer.json"));
  manifest.erase("manifest_xxh3");
  manifest["version"] = 1;
  manifest["xxh3"].erase("config.json");
  std::ofstream(folder + "/trainer.json") << manifest;
  ASSERT_TRUE(Restore(spec_).ok());
  fs::remove(folder + "/config.json");
  EXPECT_EQ(Restore(spec_).code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointTest, FallsBackToTheNewestThatIsWhole) {
  std::vector<std::string> folders;
  for (const int64_t steps : {1, 2, 3}) folders.push_back(TrainAndSave(steps));
  FlipByte(folders[2] + "/model.safetensors", 1000);
  fs::remove(folders[1] + "/trainer.json");
  TrainingGroup group(spec_, corpus_, ReferenceServices());
  const auto restored = group.trainer(0).Restore();
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->position.step, 1);
  EXPECT_EQ(group.trainer(0).position(), restored->position);
  EXPECT_EQ(restored->directory, folders[0]);
  EXPECT_EQ(restored->damaged, (std::vector<int64_t>{3, 2}));
  EXPECT_THAT(restored->damage, HasSubstr(folders[2] + "/model.safetensors is damaged"));

  // Set aside they are in nobody's way.
  EXPECT_EQ(*SetCheckpointAside(spec_.checkpoint, 3), folders[2] + ".damaged");
  EXPECT_EQ(*SetCheckpointAside(spec_.checkpoint, 2), folders[1] + ".damaged");
  EXPECT_EQ(*ListCheckpoints(spec_.checkpoint), (std::vector<int64_t>{1}));
  EXPECT_EQ(TrainAndSave(3), folders[2]);
  EXPECT_TRUE(fs::exists(folders[2] + ".damaged"));
  EXPECT_EQ(*SetCheckpointAside(spec_.checkpoint, 3), folders[2] + ".damaged-2");

  FlipByte(folders[0] + "/config.json", 10);
  EXPECT_THAT(std::string(Restore(spec_).message()), HasSubstr("no older checkpoint"));
}

// The same documents in the same order give the same losses but for the order of sums.
TEST_F(CheckpointTest, GoesOnWithAnotherNumberOfWorkers) {
  spec_.batch.chunks = 6;
  spec_.workers = 2;
  TrainingGroup straight(spec_, corpus_, ReferenceServices());
  const auto expected = straight.TrainUntil(16);
  ASSERT_TRUE(expected.ok()) << expected.status();
  {
    TrainingGroup group(spec_, corpus_, ReferenceServices());
    ASSERT_TRUE(group.TrainUntil(8).ok());
    ASSERT_TRUE(group.SaveCheckpoint().ok());
  }
  for (const int32_t workers : {1, 2, 3}) {
    JobSpec spec = spec_;
    spec.workers = workers;
    TrainingGroup resumed(spec, corpus_, ReferenceServices());
    for (int32_t rank = 0; rank < workers; ++rank) {
      const auto restored = resumed.trainer(rank).Restore();
      ASSERT_TRUE(restored.ok()) << restored.status();
      EXPECT_EQ(restored->position.step, 8);
    }
    const auto losses = resumed.TrainUntil(16);
    ASSERT_TRUE(losses.ok()) << losses.status();
    for (size_t i = 0; i < 8; ++i) {
      const double want = (*expected)[8 + i];
      EXPECT_NEAR((*losses)[i], want, workers == 2 ? 0.0 : 1e-4 * want)
          << workers << " workers, step " << 9 + i;
    }
    if (workers == 2) {
      EXPECT_EQ(resumed.trainer(0).WeightsChecksum(), straight.trainer(0).WeightsChecksum());
    }
  }
}

// The disk does not get on until training has made two more steps.
TEST_F(CheckpointTest, TrainingGoesOnWhileItIsWritten) {
  spec_.workers = 2;
  absl::Notification trained;
  const WriteTensors slow = [&trained](const std::string& path, auto tensors, const auto& wanted) {
    if (!trained.WaitForNotificationWithTimeout(absl::Seconds(60))) {
      return absl::DeadlineExceededError("training waits for the disk");
    }
    return WriteSafetensors(path, tensors, wanted);
  };
  uint64_t at_two = 0;
  {
    TrainingGroup group(spec_, corpus_, ReferenceServices());
    WriterGroup writers(spec_, absl::Seconds(60), {slow, slow});
    ASSERT_TRUE(group.TrainUntil(2).ok());
    at_two = group.trainer(0).WeightsChecksum();
    for (int32_t rank = 0; rank < 2; ++rank) {
      Trainer& trainer = group.trainer(rank);
      ASSERT_TRUE(writers.Start(rank, trainer.arrays(), trainer.position()).ok());
    }
    ASSERT_TRUE(group.TrainUntil(4).ok());
    trained.Notify();
    const CheckpointOutcome outcome = writers.Await();
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.step, 2);
  }
  TrainingGroup resumed(spec_, corpus_, ReferenceServices());
  ASSERT_TRUE(resumed.trainer(1).Restore().ok());
  EXPECT_EQ(resumed.trainer(1).WeightsChecksum(), at_two);
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
  const std::string leftover = PartialCheckpointPath(spec_.checkpoint, 2, 0x123);
  fs::create_directories(leftover);
  EXPECT_EQ(*ListCheckpoints(spec_.checkpoint), (std::vector<int64_t>{1}));
  EXPECT_TRUE(Restore(spec_).ok());
  // The leftover goes with the next checkpoint.
  TrainAndSave(2);
  EXPECT_FALSE(fs::exists(leftover));
}

TEST_F(CheckpointTest, AFailedWriteLeavesNothing) {
  TrainAndSave(1);
  // A file where a folder must go stands for a disk that refuses; root may write anywhere.
  JobSpec spec = spec_;
  spec.checkpoint.directory = directory_.path("file");
  std::ofstream(spec.checkpoint.directory) << "in the way";
  TrainingGroup group(spec, corpus_, ReferenceServices());
  ASSERT_TRUE(group.TrainUntil(1).ok());
  EXPECT_FALSE(group.SaveCheckpoint().ok());
  EXPECT_EQ(CheckCheckpointDirectory(spec.checkpoint, 0).ok(), false);
}

TEST_F(CheckpointTest, ANewJobWantsADirectoryOfItsOwn) {
  EXPECT_TRUE(CheckCheckpointDirectory(CheckpointSpec(), 0).ok());
  EXPECT_TRUE(CheckCheckpointDirectory(spec_.checkpoint, 0).ok());
  EXPECT_TRUE(fs::is_empty(spec_.checkpoint.directory));
  TrainAndSave(3);
  const absl::Status status = CheckCheckpointDirectory(spec_.checkpoint, 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("already holds step 3"), HasSubstr("checkpoint.resume")));
  spec_.checkpoint.resume = true;
  EXPECT_TRUE(CheckCheckpointDirectory(spec_.checkpoint, 0).ok());
}

}  // namespace
}  // namespace rally::testing
