// Program: a child process of a test, its output in a file.
#ifndef RALLY_TESTS_SERVICES_PROGRAM_H_
#define RALLY_TESTS_SERVICES_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include <absl/time/time.h>

namespace rally {

class Program {
 public:
  // Starts `arguments[0]`, found in PATH; standard output and error go to `output_file`, standard
  // input comes from `input_file`.
  Program(const std::vector<std::string>& arguments, std::string output_file,
          const std::string& input_file = "/dev/null");
  ~Program();  // Kills it when it still runs.

  void Signal(int number);
  // The exit code, 128 + signal, or -1 when it did not end by the deadline or did not start.
  int Wait(absl::Time deadline);
  std::string Output() const;
  bool started() const { return pid_ > 0; }

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  const std::string output_file_;
};

}  // namespace rally

#endif  // RALLY_TESTS_SERVICES_PROGRAM_H_
