#include "workers/model/checkpoint_writer.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <thread>

#include <absl/cleanup/cleanup.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "tests/common/temp_directory.h"
#include "tests/model/plan_fixture.h"
#include "tests/model/writer_group.h"
#include "workers/model/checkpoint.h"

namespace rally::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class CheckpointWriterTest : public ::testing::Test {
 protected:
  CheckpointWriterTest() {
    spec_.workers = 2;
    spec_.checkpoint.directory = directory_.path("checkpoints");
  }

  // Weights of `step` and their position.
  CheckpointArrays At(int64_t step) {
    arrays_.Fill(step);
    return arrays_.arrays();
  }
  static TrainingPosition Position(int64_t step) { return {step, {1, step, 2 * step}}; }

  CheckpointOutcome Save(WriterGroup& writers, int64_t step) {
    return writers.Save(At(step), Position(step));
  }
  void SaveWell(int64_t step) {
    WriterGroup writers(spec_);
    const CheckpointOutcome outcome = Save(writers, step);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.directory, CheckpointPath(spec_.checkpoint, step));
  }

  // Reads the newest checkpoint and compares it with what was written.
  absl::StatusOr<RestoredCheckpoint> Read() {
    TestArrays found(spec_);
    auto restored = ReadNewestCheckpoint(spec_, found.layout, found.arrays());
    if (!restored.ok()) return restored;
    TestArrays expected(spec_);
    expected.Fill(restored->position.step);
    EXPECT_TRUE(found == expected) << "step " << restored->position.step;
    EXPECT_EQ(restored->position, Position(restored->position.step));
    return restored;
  }

  std::set<std::string> Names(const std::string& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  TempDirectory directory_;
  JobSpec spec_ = TinyJob();
  TestArrays arrays_{spec_};
};

// Fails until `ok`.
WriteTensors Failing(const bool* ok, absl::Status status) {
  return [ok, status](const std::string& path, auto tensors, const auto& wanted) {
    if (*ok) return WriteSafetensors(path, tensors, wanted);
    return absl::Status(status.code(), path + ": " + std::string(status.message()));
  };
}

TEST_F(CheckpointWriterTest, AnyNumberOfWorkersWritesTheSame) {
  for (const int32_t workers : {1, 2, 3, 40}) {
    spec_.workers = workers;
    SaveWell(workers);
    const auto restored = Read();
    ASSERT_TRUE(restored.ok()) << restored.status();
    EXPECT_EQ(restored->position.step, workers);
    EXPECT_TRUE(restored->damaged.empty());
  }
  EXPECT_THAT(Names(CheckpointPath(spec_.checkpoint, 2)),
              UnorderedElementsAre(
                  "config.json", "trainer.json", "model.safetensors.index.json",
                  "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                  "optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors"));
}

TEST_F(CheckpointWriterTest, TheIndexNamesTheFileOfEveryWeight) {
  SaveWell(1);
  const std::string folder = CheckpointPath(spec_.checkpoint, 1);
  const auto index = nlohmann::json::parse(*ReadFile(folder + "/model.safetensors.index.json"));
  int64_t bytes = 0;
  for (const WeightInfo& weight : arrays_.layout.weights) {
    bytes += weight.elements * 4;
    const auto file = index.at("weight_map").at(weight.name).get<std::string>();
    EXPECT_EQ(SafetensorsNames(folder + "/" + file)->count(weight.name), 1u);
  }
  EXPECT_EQ(index.at("weight_map").size(), arrays_.layout.weights.size());
  EXPECT_EQ(index.at("metadata").at("total_size"), bytes);
}

TEST_F(CheckpointWriterTest, WritesTheWeightsOfTheStartAndTheNextStartWaits) {
  absl::Notification release;
  const WriteTensors slow = [&release](const std::string& path, auto tensors, const auto& wanted) {
    release.WaitForNotification();
    return WriteSafetensors(path, tensors, wanted);
  };
  WriterGroup writers(spec_, absl::Milliseconds(50), {slow, slow});
  ASSERT_TRUE(writers.Start(At(1), Position(1)).ok());
  arrays_.Fill(99);  // Training goes on.
  EXPECT_FALSE(writers.writer(0).AwaitIdle(absl::Now()));
  const absl::Status second = writers.Start(0, arrays_.arrays(), Position(2));
  EXPECT_EQ(second.code(), absl::StatusCode::kDeadlineExceeded) << second;
  release.Notify();
  EXPECT_TRUE(writers.writer(1).AwaitIdle(absl::Now() + absl::Seconds(60)));
  EXPECT_TRUE(writers.Await().status.ok());
  EXPECT_TRUE(Read().ok());
  EXPECT_TRUE(Save(writers, 3).status.ok());
}

TEST_F(CheckpointWriterTest, AFailureIsReportedAndTheNextOneIsTriedAgain) {
  for (const int32_t rank : {0, 1}) {
    bool ok = true;
    std::vector<WriteTensors> write(2);
    write[rank] = Failing(&ok, absl::ResourceExhaustedError("no space"));
    WriterGroup writers(spec_, absl::Seconds(60), write);
    ASSERT_TRUE(Save(writers, 10 * rank + 1).status.ok());
    ok = false;
    const CheckpointOutcome failed = Save(writers, 10 * rank + 2);
    EXPECT_EQ(failed.status.code(), absl::StatusCode::kResourceExhausted) << failed.status;
    EXPECT_THAT(std::string(failed.status.message()), HasSubstr(spec_.checkpoint.directory));
    EXPECT_EQ(failed.step, 10 * rank + 2);
    EXPECT_EQ(Read()->position.step, 10 * rank + 1);
    ok = true;
    EXPECT_TRUE(Save(writers, 10 * rank + 3).status.ok());
    EXPECT_EQ(Read()->position.step, 10 * rank + 3);
  }
  for (const std::string& name : Names(spec_.checkpoint.directory)) {
    EXPECT_EQ(name.find("partial"), std::string::npos) << name;
  }
}

TEST_F(CheckpointWriterTest, AFileThatMayNotGrowIsAFullDisk) {
  SaveWell(1);
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const absl::Cleanup restore = [&before] { setrlimit(RLIMIT_FSIZE, &before); };
  const rlimit small = {20000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  WriterGroup writers(spec_);
  const CheckpointOutcome outcome = Save(writers, 2);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted) << outcome.status;
  EXPECT_EQ(Read()->position.step, 1);
}

TEST_F(CheckpointWriterTest, ADirectoryThatMayNotBeWrittenIsSaidSo) {
  SaveWell(1);
  fs::permissions(spec_.checkpoint.directory, fs::perms::owner_read | fs::perms::owner_exec);
  const absl::Cleanup restore = [this] {
    if (seteuid(getuid()) == 0) {
      fs::permissions(spec_.checkpoint.directory, fs::perms::owner_all);
    }
  };
  constexpr uid_t kNobody = 65534;  // Root may write anywhere.
  if (getuid() == 0) {
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  WriterGroup writers(spec_);
  const CheckpointOutcome outcome = Save(writers, 2);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kPermissionDenied) << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(spec_.checkpoint.directory));
}

TEST_F(CheckpointWriterTest, AShardThatNeverComesIsAnErrorAtTheDeadline) {
  SaveWell(1);
  WriterGroup writers(spec_, absl::Milliseconds(100));
  ASSERT_TRUE(writers.Start(0, At(2), Position(2)).ok());
  const CheckpointOutcome outcome = writers.Await();
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded) << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("worker 1 has not written"));
  EXPECT_EQ(Read()->position.step, 1);
}

TEST_F(CheckpointWriterTest, AbortEndsTheWaitAndWhateverComesLater) {
  WriterGroup writers(spec_, absl::Hours(1));
  ASSERT_TRUE(writers.Start(0, At(1), Position(1)).ok());
  writers.writer(0).Abort(absl::CancelledError("the run has ended"));
  EXPECT_TRUE(writers.writer(0).AwaitIdle(absl::Now() + absl::Seconds(60)));
  EXPECT_EQ(writers.Start(0, At(1), Position(1)).message(), "the run has ended");
  EXPECT_EQ(writers.Await(absl::ZeroDuration()).status.code(), absl::StatusCode::kDeadlineExceeded);
}

// Another run may be in its place by then.
TEST_F(CheckpointWriterTest, NoCheckpointComesLongAfterAnAbort) {
  spec_.workers = 1;
  absl::Notification at_last_file;
  absl::Notification aborted;
  CheckpointWriterOptions options;
  options.spec = spec_;
  options.grace = absl::ZeroDuration();
  options.write = [&](const std::string& path, auto tensors, const auto& wanted) {
    const absl::Status status = WriteSafetensors(path, tensors, wanted);
    if (path.find("optimizer") != std::string::npos) {
      at_last_file.Notify();
      aborted.WaitForNotification();
    }
    return status;
  };
  CheckpointWriter writer(options, [](const CheckpointOutcome&) {});
  ASSERT_TRUE(writer.Start(At(1), Position(1)).ok());
  at_last_file.WaitForNotification();
  writer.Abort(absl::CancelledError("the run has ended"));
  aborted.Notify();
  ASSERT_TRUE(writer.AwaitIdle(absl::Now() + absl::Seconds(60)));
  EXPECT_THAT(*ListCheckpoints(spec_.checkpoint), ::testing::IsEmpty());
  EXPECT_THAT(Names(spec_.checkpoint.directory), ::testing::IsEmpty());
}

// The other start wrote the same step, of weights of its own.
TEST_F(CheckpointWriterTest, ShardsOfAnotherStartAreNeverMixedIn) {
  WriterGroup died(spec_, absl::Seconds(60));
  ASSERT_TRUE(died.Start(1, At(77), Position(5)).ok());
  ASSERT_TRUE(died.writer(1).AwaitIdle(absl::Now() + absl::Seconds(60)));
  const std::string leftover = PartialCheckpointPath(spec_.checkpoint, 5, died.run());
  EXPECT_TRUE(fs::exists(leftover));
  WriterGroup writers(spec_, absl::Milliseconds(200));
  ASSERT_TRUE(writers.Start(0, At(5), Position(5)).ok());
  EXPECT_FALSE(writers.Await().status.ok());  // Worker 1 of this start wrote nothing.
  SaveWell(5);
  EXPECT_EQ(Read()->position.step, 5);
  EXPECT_FALSE(fs::exists(leftover));
}

TEST_F(CheckpointWriterTest, EveryTruncationIsFoundNamedAndPassedOver) {
  SaveWell(1);
  SaveWell(2);
  const std::string folder = CheckpointPath(spec_.checkpoint, 2);
  int cuts = 0;
  for (const std::string& name : Names(folder)) {
    const std::string path = folder + "/" + name;
    const std::string whole = *ReadFile(path);
    for (size_t size = 0; size < whole.size(); size += 4096, ++cuts) {
      fs::resize_file(path, size);
      const auto restored = Read();
      ASSERT_TRUE(restored.ok()) << name << " cut to " << size << ": " << restored.status();
      ASSERT_EQ(restored->position.step, 1) << name << " cut to " << size;
      ASSERT_THAT(restored->damage, HasSubstr(path));
      ASSERT_TRUE(WriteFileAtomically(path, whole).ok());
    }
  }
  EXPECT_GT(cuts, 50);
  // Without an older one it is an error that says what to do.
  fs::remove_all(CheckpointPath(spec_.checkpoint, 1));
  fs::resize_file(folder + "/config.json", 0);
  const absl::Status status = Read().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("to start anew, choose another directory"));
}

// Writes checkpoint after checkpoint until it is killed; says through `out` which are done.
[[noreturn]] void WriteForEver(const JobSpec& spec, int64_t step, int out) {
  WriterGroup writers(spec);
  TestArrays arrays(spec);
  for (;; ++step) {
    arrays.Fill(step);
    const auto outcome = writers.Save(arrays.arrays(), {step, {1, step, 2 * step}});
    if (!outcome.status.ok() || write(out, &step, sizeof(step)) != sizeof(step)) _exit(1);
  }
}

TEST_F(CheckpointWriterTest, WheneverTheWriterIsKilledTheNewestThatWasDoneIsThere) {
  spec_.checkpoint.keep = 2;
  int64_t next = 1;
  for (int kill_number = 0; kill_number < 25; ++kill_number) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) WriteForEver(spec_, next, ends[1]);
    close(ends[1]);
    int64_t done = 0;
    // Lets a few be written, then a random part of the next.
    for (int i = 0; i < 2; ++i) ASSERT_EQ(read(ends[0], &done, sizeof(done)), sizeof(done));
    absl::Notification never;
    never.WaitForNotificationWithTimeout(absl::Microseconds((kill_number * 7919) % 9000));
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    while (read(ends[0], &done, sizeof(done)) == sizeof(done)) {
    }
    close(ends[0]);
    const auto restored = Read();
    ASSERT_TRUE(restored.ok()) << restored.status();
    EXPECT_TRUE(restored->damaged.empty()) << restored->damage;
    EXPECT_GE(restored->position.step, done);
    EXPECT_LE(restored->position.step, done + 1);
    next = restored->position.step + 1;
  }
}

}  // namespace
}  // namespace rally::testing
