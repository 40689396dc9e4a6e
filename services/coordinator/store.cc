#include "services/coordinator/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "services/coordinator/sqlite.h"

namespace rally {
namespace {

constexpr int64_t kSchemaVersion = 1;
constexpr int64_t kLogTrim = 1000;              // Log lines.
constexpr int64_t kApplicationId = 0x52414c59;  // "RALY"

constexpr char kSchema[] = R"(
  BEGIN;
  CREATE TABLE jobs (job_id TEXT PRIMARY KEY, create_time INTEGER NOT NULL,
                     phase INTEGER NOT NULL, job BLOB NOT NULL) WITHOUT ROWID;
  CREATE TABLE events (job_id TEXT NOT NULL, sequence INTEGER NOT NULL, event BLOB NOT NULL,
                       PRIMARY KEY (job_id, sequence)) WITHOUT ROWID;
  CREATE TABLE logs (job_id TEXT NOT NULL, sequence INTEGER NOT NULL, rank INTEGER NOT NULL,
                     line BLOB NOT NULL, PRIMARY KEY (job_id, sequence)) WITHOUT ROWID;
  PRAGMA application_id = 1380011097;
  PRAGMA user_version = 1;
  COMMIT;
)";

// The data directory's lock; held until destruction.
class DirectoryLock {
 public:
  static absl::StatusOr<std::unique_ptr<DirectoryLock>> Take(const std::string& path) {
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) {
      return absl::PermissionDeniedError(
          absl::StrCat("open ", path, ": ", std::generic_category().message(errno)));
    }
    auto lock = std::unique_ptr<DirectoryLock>(new DirectoryLock(file));
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": another coordinator uses this data directory"));
    }
    return lock;
  }
  ~DirectoryLock() { close(file_); }

 private:
  explicit DirectoryLock(int file) : file_(file) {}
  const int file_;
};

absl::Status Migrate(Sqlite* connection, const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const int64_t version, connection->QueryInteger("PRAGMA user_version"));
  RALLY_ASSIGN_OR_RETURN(const int64_t application,
                         connection->QueryInteger("PRAGMA application_id"));
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": has schema version ", version,
                                                      ", this coordinator knows ", kSchemaVersion,
                                                      "; use the newer coordinator that wrote it"));
  }
  if (version == kSchemaVersion && application != kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is not a coordinator's database"));
  }
  if (version == kSchemaVersion) return absl::OkStatus();
  RALLY_ASSIGN_OR_RETURN(const int64_t tables,
                         connection->QueryInteger("SELECT COUNT(*) FROM sqlite_master"));
  if (tables != 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is not a coordinator's database"));
  }
  return connection->Execute(kSchema);
}

template <typename Message>
absl::StatusOr<Message> Parse(absl::string_view bytes) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(
        absl::StrCat("the database holds a damaged ", Message::descriptor()->full_name()));
  }
  return message;
}

class SqliteStore final : public Store {
 public:
  SqliteStore(std::unique_ptr<DirectoryLock> lock, Sqlite writer, Sqlite reader)
      : lock_(std::move(lock)), writer_(std::move(writer)), reader_(std::move(reader)) {}

  absl::Status Write(absl::Span<const Action> actions) override {
    absl::MutexLock lock(&write_mutex_);
    bool any = false;
    for (const Action& action : actions) any |= Concerns(action);
    if (!any) return absl::OkStatus();
    RALLY_RETURN_IF_ERROR(writer_.Execute("BEGIN IMMEDIATE"));
    absl::Status status = WriteAll(actions);
    if (status.ok()) status = writer_.Execute("COMMIT");
    if (!status.ok()) {
      writer_.Execute("ROLLBACK").IgnoreError();
      last_log_.clear();
    }
    return status;
  }

  absl::StatusOr<std::vector<StoredJob>> LoadJobs() override {
    absl::MutexLock lock(&read_mutex_);
    RALLY_ASSIGN_OR_RETURN(
        SqliteStatement query,
        SqliteStatement::Prepare(
            &reader_,
            "SELECT job, (SELECT COALESCE(MAX(sequence), 0) FROM events "
            "WHERE events.job_id = jobs.job_id) FROM jobs ORDER BY create_time, job_id"));
    std::vector<StoredJob> jobs;
    while (true) {
      RALLY_ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) return jobs;
      RALLY_ASSIGN_OR_RETURN(v1::Job job, Parse<v1::Job>(query.Blob(0)));
      jobs.push_back({std::move(job), query.Integer(1)});
    }
  }

  absl::StatusOr<std::vector<v1::JobEvent>> ReadEvents(const std::string& job_id, int64_t after,
                                                       int limit) override {
    absl::MutexLock lock(&read_mutex_);
    return Read<v1::JobEvent>(
        "SELECT event FROM events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        job_id, after, limit, std::nullopt);
  }

  absl::StatusOr<std::vector<v1::LogLine>> ReadLogs(const std::string& job_id,
                                                    std::optional<int32_t> rank, int64_t after,
                                                    int limit) override {
    absl::MutexLock lock(&read_mutex_);
    const std::string filter = rank.has_value() ? " AND rank = ?4" : "";
    return Read<v1::LogLine>("SELECT line FROM logs WHERE job_id = ?1 AND sequence > ?2" + filter +
                                 " ORDER BY sequence LIMIT ?3",
                             job_id, after, limit, rank);
  }

 private:
  static bool Concerns(const Action& action) {
    return std::holds_alternative<PersistJob>(action) ||
           std::holds_alternative<AppendJobEvent>(action) ||
           std::holds_alternative<AppendLogs>(action) || std::holds_alternative<DeleteJob>(action);
  }

  absl::Status WriteAll(absl::Span<const Action> actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    RALLY_ASSIGN_OR_RETURN(
        SqliteStatement put_job,
        SqliteStatement::Prepare(&writer_, "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?)"));
    RALLY_ASSIGN_OR_RETURN(
        SqliteStatement put_event,
        SqliteStatement::Prepare(&writer_, "INSERT INTO events VALUES (?, ?, ?)"));
    for (const Action& action : actions) {
      if (const auto* persist = std::get_if<PersistJob>(&action)) {
        const std::string bytes = persist->job.SerializeAsString();
        put_job.BindText(1, persist->job.job_id());
        put_job.Bind(2, absl::ToUnixNanos(FromProto(persist->job.create_time())));
        put_job.Bind(3, persist->job.status().phase());
        put_job.BindBlob(4, bytes);
        RALLY_RETURN_IF_ERROR(put_job.Run());
      } else if (const auto* append = std::get_if<AppendJobEvent>(&action)) {
        const std::string bytes = append->event.SerializeAsString();
        put_event.BindText(1, append->job_id);
        put_event.Bind(2, append->event.sequence());
        put_event.BindBlob(3, bytes);
        RALLY_RETURN_IF_ERROR(put_event.Run());
      } else if (const auto* logs = std::get_if<AppendLogs>(&action)) {
        RALLY_RETURN_IF_ERROR(WriteLogs(*logs));
      } else if (const auto* gone = std::get_if<DeleteJob>(&action)) {
        RALLY_RETURN_IF_ERROR(Delete(gone->job_id));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Delete(const std::string& job_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    last_log_.erase(job_id);
    for (const char* table : {"jobs", "events", "logs"}) {
      RALLY_ASSIGN_OR_RETURN(SqliteStatement remove,
                             SqliteStatement::Prepare(&writer_, absl::StrCat("DELETE FROM ", table,
                                                                             " WHERE job_id = ?")));
      remove.BindText(1, job_id);
      RALLY_RETURN_IF_ERROR(remove.Run());
    }
    return absl::OkStatus();
  }

  // Drops the oldest lines beyond kMostLogLines, every kLogTrim lines.
  absl::Status TrimLogs(const std::string& job_id, int64_t before, int64_t last)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    if (before / kLogTrim == last / kLogTrim || last <= kMostLogLines) return absl::OkStatus();
    RALLY_ASSIGN_OR_RETURN(
        SqliteStatement remove,
        SqliteStatement::Prepare(&writer_, "DELETE FROM logs WHERE job_id = ? AND sequence <= ?"));
    remove.BindText(1, job_id);
    remove.Bind(2, last - kMostLogLines);
    return remove.Run();
  }

  absl::Status WriteLogs(const AppendLogs& logs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    const auto [last, fresh] = last_log_.try_emplace(logs.job_id, 0);
    if (fresh) {
      RALLY_ASSIGN_OR_RETURN(
          SqliteStatement query,
          SqliteStatement::Prepare(&writer_,
                                   "SELECT COALESCE(MAX(sequence), 0) FROM logs WHERE job_id = ?"));
      query.BindText(1, logs.job_id);
      RALLY_RETURN_IF_ERROR(query.Step().status());
      last->second = query.Integer(0);
    }
    const int64_t before = last->second;
    RALLY_ASSIGN_OR_RETURN(
        SqliteStatement put,
        SqliteStatement::Prepare(&writer_, "INSERT INTO logs VALUES (?, ?, ?, ?)"));
    for (const v1::LogEntry& entry : logs.entries) {
      v1::LogLine line;
      line.set_sequence(++last->second);
      *line.mutable_time() = entry.time();
      line.set_rank(logs.rank);
      line.set_severity(entry.severity());
      line.set_text(entry.text());
      const std::string bytes = line.SerializeAsString();
      put.BindText(1, logs.job_id);
      put.Bind(2, line.sequence());
      put.Bind(3, logs.rank);
      put.BindBlob(4, bytes);
      RALLY_RETURN_IF_ERROR(put.Run());
    }
    return TrimLogs(logs.job_id, before, last->second);
  }

  template <typename Message>
  absl::StatusOr<std::vector<Message>> Read(const std::string& sql, const std::string& job_id,
                                            int64_t after, int limit, std::optional<int32_t> rank)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mutex_) {
    RALLY_ASSIGN_OR_RETURN(SqliteStatement query, SqliteStatement::Prepare(&reader_, sql));
    query.BindText(1, job_id);
    query.Bind(2, after);
    query.Bind(3, limit);
    if (rank.has_value()) query.Bind(4, *rank);
    std::vector<Message> messages;
    while (true) {
      RALLY_ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) return messages;
      RALLY_ASSIGN_OR_RETURN(Message message, Parse<Message>(query.Blob(0)));
      messages.push_back(std::move(message));
    }
  }

  const std::unique_ptr<DirectoryLock> lock_;
  absl::Mutex write_mutex_;
  absl::Mutex read_mutex_;
  Sqlite writer_ ABSL_GUARDED_BY(write_mutex_);
  Sqlite reader_ ABSL_GUARDED_BY(read_mutex_);
  // Last log sequence by job, read from the database at first use.
  std::map<std::string, int64_t> last_log_ ABSL_GUARDED_BY(write_mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrCat("create directory ", directory, ": ", error.message()));
  }
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<DirectoryLock> lock,
                         DirectoryLock::Take(directory + "/LOCK"));
  const std::string path = directory + "/coordinator.db";
  RALLY_ASSIGN_OR_RETURN(Sqlite writer, Sqlite::Open(path));
  RALLY_RETURN_IF_ERROR(writer.Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"));
  RALLY_RETURN_IF_ERROR(Migrate(&writer, path));
  RALLY_ASSIGN_OR_RETURN(Sqlite reader, Sqlite::Open(path));
  return std::unique_ptr<Store>(
      std::make_unique<SqliteStore>(std::move(lock), std::move(writer), std::move(reader)));
}

}  // namespace rally
