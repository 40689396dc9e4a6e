// Console: where a command writes, and what kind of thing that is.
//
// Results go to `out`, progress and messages to `err`. Used by one thread at a time.
#ifndef RALLY_SERVICES_CLI_CONSOLE_H_
#define RALLY_SERVICES_CLI_CONSOLE_H_

#include <ostream>
#include <string>

namespace rally {

class Console {
 public:
  // `err_width` is the terminal's width in characters, 0 when `err` is no terminal.
  Console(std::ostream* out, std::ostream* err, int err_width)
      : out_(*out), err_(*err), err_width_(err_width) {}

  std::ostream& out() { return out_; }
  // For whole lines: clears a live line first.
  std::ostream& err();

  bool live() const { return err_width_ > 0; }
  int width() const { return err_width_; }
  // Replaces the live line. Only when live.
  void ShowLive(const std::string& line);
  // Leaves the live line where it is and begins a new one.
  void KeepLive();

 private:
  std::ostream& out_;
  std::ostream& err_;
  const int err_width_;
  bool line_shown_ = false;
};

// Width of the terminal on a file descriptor; 0 when it is none.
int TerminalWidth(int fd);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_CONSOLE_H_
