#include "services/coordinator/sqlite.h"

#include <utility>

#include <absl/strings/str_cat.h>
#include <sqlite3.h>

#include "common/status_macros.h"

namespace rally {
namespace {

absl::StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

void Sqlite::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

absl::StatusOr<Sqlite> Sqlite::Open(const std::string& path) {
  Sqlite connection;
  connection.path_ = path;
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  connection.handle_.reset(handle);
  if (code != SQLITE_OK) return connection.Error("open");
  sqlite3_busy_timeout(handle, 2000);
  return connection;
}

absl::Status Sqlite::Error(absl::string_view action) const {
  return absl::Status(CodeOf(sqlite3_errcode(handle_.get())),
                      absl::StrCat(action, " ", path_, ": ", sqlite3_errmsg(handle_.get())));
}

absl::Status Sqlite::Execute(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return Error("write");
}

absl::StatusOr<int64_t> Sqlite::QueryInteger(const std::string& sql) {
  RALLY_ASSIGN_OR_RETURN(SqliteStatement statement, SqliteStatement::Prepare(this, sql));
  RALLY_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Integer(0) : 0;
}

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

absl::StatusOr<SqliteStatement> SqliteStatement::Prepare(const Sqlite* connection,
                                                         const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(connection->handle(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
    return connection->Error("read");
  }
  SqliteStatement statement;
  statement.statement_.reset(raw);
  statement.connection_ = connection;
  return statement;
}

void SqliteStatement::Bind(int index, int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
}

void SqliteStatement::BindText(int index, absl::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.data(), text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void SqliteStatement::BindBlob(int index, absl::string_view bytes) {
  sqlite3_bind_blob64(statement_.get(), index, bytes.data(), bytes.size(), SQLITE_STATIC);
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return connection_->Error("use");
}

absl::Status SqliteStatement::Run() {
  const absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

absl::string_view SqliteStatement::Blob(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  return absl::string_view(data, sqlite3_column_bytes(statement_.get(), column));
}

}  // namespace rally
