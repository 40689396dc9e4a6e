// rally: the command line.
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <system_error>

#include "common/shutdown.h"
#include "services/cli/command_line.h"
#include "services/cli/console.h"

int main(int argc, char** argv) {
  const std::unique_ptr<rally::ShutdownSignal> shutdown = rally::ShutdownSignal::Install();
  rally::Console console(&std::cout, &std::cerr, rally::TerminalWidth(STDERR_FILENO));
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const rally::CommandContext context = {&console, shutdown.get(),
                                         error ? "." : self.parent_path().string()};
  return rally::RunCommandLine(argc, argv, context);
}
