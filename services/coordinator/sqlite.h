// Sqlite: a connection and its prepared statements, with errors as absl::Status.
//
// Thread-compatible: one caller at a time. A statement borrows its connection.
#ifndef RALLY_SERVICES_COORDINATOR_SQLITE_H_
#define RALLY_SERVICES_COORDINATOR_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

struct sqlite3;
struct sqlite3_stmt;

namespace rally {

class Sqlite {
 public:
  // Opens `path`, making the file when there is none.
  static absl::StatusOr<Sqlite> Open(const std::string& path);

  // Runs statements that give no rows.
  absl::Status Execute(const std::string& sql);
  // The first column of the first row.
  absl::StatusOr<int64_t> QueryInteger(const std::string& sql);

  // The connection's last error as a status that says what was being done.
  absl::Status Error(absl::string_view action) const;

  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
  std::string path_;
};

// A prepared statement. Bind from 1, Step until false, read columns from 0, Reset to run it again.
class SqliteStatement {
 public:
  static absl::StatusOr<SqliteStatement> Prepare(const Sqlite* connection, const std::string& sql);

  // The bytes bound must live until Reset.
  void Bind(int index, int64_t value);
  void BindText(int index, absl::string_view text);
  void BindBlob(int index, absl::string_view bytes);

  // True when there is a row, false at the end.
  absl::StatusOr<bool> Step();
  // For statements that give no rows: Step and Reset.
  absl::Status Run();
  void Reset();

  int64_t Integer(int column) const;
  absl::string_view Blob(int column) const;  // Valid until the next Step or Reset.

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const Sqlite* connection_ = nullptr;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_SQLITE_H_
