// LineReader: a text file, piece by piece.
//
// A piece is a line with its line break, or a part of a line that is too long for one piece. Owned
// and used by one thread.
#ifndef RALLY_SERVICES_DATA_LINE_READER_H_
#define RALLY_SERVICES_DATA_LINE_READER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

class LineReader {
 public:
  static constexpr size_t kBlockBytes = size_t{1} << 20;

  struct Piece {
    absl::string_view text;  // Valid until the next call; empty at the end of the file.
    int64_t line = 0;        // Counted from 1.
    bool starts_line = false;
    bool ends_line = false;  // With a line break, or with the file.

    // The text without its line break, "\n" or "\r\n".
    absl::string_view content() const;
  };

  // `on_block` is called after every read with the bytes read; an error from it ends the reading.
  explicit LineReader(std::function<absl::Status(int64_t bytes)> on_block);
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader();

  // Before anything else. The file system's error, with the path.
  absl::Status Open(const std::string& path);
  absl::StatusOr<Piece> Next();

 private:
  // Moves what is left to the buffer's front and fills the rest.
  absl::Status Fill();

  const std::function<absl::Status(int64_t)> on_block_;
  std::string path_;
  int fd_ = -1;
  std::string buffer_;
  size_t begin_ = 0;  // [begin_, end_) of the buffer is not given out yet.
  size_t end_ = 0;
  bool at_end_ = false;  // The file has no more to read.
  bool starts_line_ = true;
  int64_t line_ = 1;
};

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_LINE_READER_H_
