#include "services/coordinator/store.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/sqlite.h"

namespace rally {
namespace {

using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "rally-store-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Store> Open() {
    absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(directory_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  absl::Status OpenError() { return Store::Open(directory_).status(); }

  static PersistJob Job(const std::string& id, int64_t seconds, int64_t step) {
    PersistJob action;
    action.job.set_job_id(id);
    action.job.mutable_create_time()->set_seconds(seconds);
    action.job.mutable_status()->set_step(step);
    return action;
  }
  static AppendJobEvent Event(const std::string& id, int64_t sequence) {
    AppendJobEvent action;
    action.job_id = id;
    action.event.set_sequence(sequence);
    action.event.mutable_step()->set_step(sequence * 10);
    return action;
  }
  static AppendLogs Logs(const std::string& id, int32_t rank, int lines) {
    AppendLogs action{id, rank, {}};
    for (int i = 0; i < lines; ++i) {
      action.entries.emplace_back().set_text(absl::StrCat("rank ", rank, " line ", i));
    }
    return action;
  }

  std::string directory_;
};

TEST_F(StoreTest, KeepsEverythingOverAReopen) {
  std::unique_ptr<Store> store = Open();
  ASSERT_TRUE(store->Write({Job("b", 20, 1), Event("b", 1), Event("b", 2), Job("a", 10, 0)}).ok());
  ASSERT_TRUE(store->Write({Job("b", 20, 7), Logs("b", 0, 2), Logs("b", 1, 1)}).ok());
  store.reset();
  store = Open();
  ASSERT_TRUE(store->Write({Logs("b", 0, 1)}).ok());

  const auto jobs = store->LoadJobs();
  ASSERT_TRUE(jobs.ok());
  ASSERT_EQ(jobs->size(), 2u);
  EXPECT_EQ((*jobs)[0].job.job_id(), "a");
  EXPECT_EQ((*jobs)[0].last_sequence, 0);
  EXPECT_EQ((*jobs)[1].job.status().step(), 7);
  EXPECT_EQ((*jobs)[1].last_sequence, 2);

  const auto events = store->ReadEvents("b", 1, 10);
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].step().step(), 20);
  EXPECT_EQ(store->ReadEvents("b", 0, 1)->size(), 1u);

  const auto logs = store->ReadLogs("b", std::nullopt, 0, 10);
  ASSERT_TRUE(logs.ok());
  ASSERT_EQ(logs->size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ((*logs)[i].sequence(), i + 1);
  const auto rank = store->ReadLogs("b", 1, 0, 10);
  ASSERT_EQ(rank->size(), 1u);
  EXPECT_EQ((*rank)[0].text(), "rank 1 line 0");
}

TEST_F(StoreTest, WritesAllActionsOrNone) {
  std::unique_ptr<Store> store = Open();
  ASSERT_TRUE(store->Write({Job("a", 1, 0), Event("a", 1)}).ok());
  EXPECT_FALSE(store->Write({Job("a", 1, 5), Event("a", 1)}).ok());  // The sequence is taken.
  EXPECT_EQ((*store->LoadJobs())[0].job.status().step(), 0);
  EXPECT_TRUE(store->Write({Job("a", 1, 6), Event("a", 2)}).ok());
}

TEST_F(StoreTest, ForgetsAJobAltogether) {
  std::unique_ptr<Store> store = Open();
  ASSERT_TRUE(store
                  ->Write({Job("a", 1, 0), Event("a", 1), Logs("a", 0, 3), Job("b", 2, 0),
                           Event("b", 1), Logs("b", 0, 1)})
                  .ok());
  ASSERT_TRUE(store->Write({Event("a", 2), DeleteJob{"a"}}).ok());
  ASSERT_EQ(store->LoadJobs()->size(), 1u);
  EXPECT_EQ((*store->LoadJobs())[0].job.job_id(), "b");
  EXPECT_TRUE(store->ReadEvents("a", 0, 9)->empty());
  EXPECT_TRUE(store->ReadLogs("a", std::nullopt, 0, 9)->empty());
  EXPECT_EQ(store->ReadLogs("b", std::nullopt, 0, 9)->size(), 1u);
  // A new job of that name begins anew.
  ASSERT_TRUE(store->Write({Job("a", 3, 0), Event("a", 1), Logs("a", 0, 1)}).ok());
  EXPECT_EQ((*store->ReadLogs("a", std::nullopt, 0, 9))[0].sequence(), 1);
}

TEST_F(StoreTest, KeepsTheNewestLogLines) {
  std::unique_ptr<Store> store = Open();
  constexpr int kBatch = 10000;
  constexpr int64_t kLines = Store::kMostLogLines + kBatch;
  for (int64_t lines = 0; lines < kLines; lines += kBatch) {
    ASSERT_TRUE(store->Write({Logs("a", 0, kBatch)}).ok());
  }
  EXPECT_EQ((*store->ReadLogs("a", std::nullopt, 0, 1))[0].sequence(),
            kLines - Store::kMostLogLines + 1);
  EXPECT_EQ((*store->ReadLogs("a", std::nullopt, kLines - 1, 9)).size(), 1u);
}

TEST_F(StoreTest, ASecondCoordinatorIsRefused) {
  const std::unique_ptr<Store> store = Open();
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another coordinator"));
}

TEST_F(StoreTest, RefusesANewerSchema) {
  Open().reset();
  {
    absl::StatusOr<Sqlite> database = Sqlite::Open(directory_ + "/coordinator.db");
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE(database->Execute("PRAGMA user_version = 2").ok());
  }
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema version 2"));
}

TEST_F(StoreTest, RefusesADamagedDatabase) {
  std::ofstream(directory_ + "/coordinator.db") << std::string(8192, 'x');
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("coordinator.db"));
}

TEST_F(StoreTest, RefusesADirectoryThatCannotBeMade) {
  std::ofstream(directory_ + "/file") << "x";
  EXPECT_FALSE(Store::Open(directory_ + "/file/below").ok());
}

}  // namespace
}  // namespace rally
