#include "services/data/line_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <absl/strings/strip.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {

absl::string_view LineReader::Piece::content() const {
  absl::string_view content = text;
  if (absl::ConsumeSuffix(&content, "\n")) absl::ConsumeSuffix(&content, "\r");
  return content;
}

LineReader::LineReader(std::function<absl::Status(int64_t bytes)> on_block)
    : on_block_(std::move(on_block)), buffer_(kBlockBytes, '\0') {}

LineReader::~LineReader() {
  if (fd_ >= 0) close(fd_);
}

absl::Status LineReader::Open(const std::string& path) {
  path_ = path;
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  return fd_ < 0 ? ErrnoStatus(errno, "cannot open", path_) : absl::OkStatus();
}

absl::Status LineReader::Fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  while (end_ < buffer_.size() && !at_end_) {
    const ssize_t count = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "cannot read", path_);
    at_end_ = count == 0;
    end_ += static_cast<size_t>(count);
    RALLY_RETURN_IF_ERROR(on_block_(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<LineReader::Piece> LineReader::Next() {
  absl::string_view rest(buffer_.data() + begin_, end_ - begin_);
  size_t line_break = rest.find('\n');
  if (line_break == absl::string_view::npos && !at_end_) {
    RALLY_RETURN_IF_ERROR(Fill());
    rest = absl::string_view(buffer_.data() + begin_, end_ - begin_);
    line_break = rest.find('\n');
  }
  const bool has_break = line_break != absl::string_view::npos;
  Piece piece;
  piece.text = has_break ? rest.substr(0, line_break + 1) : rest;
  piece.line = line_;
  piece.starts_line = starts_line_;
  piece.ends_line = has_break || at_end_;
  begin_ += piece.text.size();
  starts_line_ = piece.ends_line;
  if (piece.ends_line) ++line_;
  return piece;
}

}  // namespace rally
