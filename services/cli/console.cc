#include "services/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace rally {
namespace {

constexpr int kUsualWidth = 80;  // For a terminal that does not say.
constexpr char kClearLine[] = "\r\033[K";

}  // namespace

std::ostream& Console::err() {
  if (line_shown_) err_ << kClearLine;
  line_shown_ = false;
  return err_;
}

void Console::ShowLive(const std::string& line) {
  err_ << kClearLine << line << std::flush;
  line_shown_ = true;
}

void Console::KeepLive() {
  if (line_shown_) err_ << "\n" << std::flush;
  line_shown_ = false;
}

int TerminalWidth(int fd) {
  if (isatty(fd) == 0) return 0;
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualWidth;
  return size.ws_col;
}

}  // namespace rally
