// The command line of `rally`: flags, help, dispatch and exit codes.
#ifndef RALLY_SERVICES_CLI_COMMAND_LINE_H_
#define RALLY_SERVICES_CLI_COMMAND_LINE_H_

#include "services/cli/command_context.h"

namespace rally {

// Parses, runs one command, reports its error on context.console->err(), and gives the exit code:
//
//   0              success
//   1              failure
//   2              usage: an unknown flag, a malformed job file, a value out of range
//   128 + signal   stopped by a signal, after clean-up: 130 for Ctrl-C. Where there is nothing to
//                  clean up, at once (SuddenEnd)
int RunCommandLine(int argc, const char* const* argv, const CommandContext& context);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_COMMAND_LINE_H_
