// CommandContext: what every command gets from main; and small tools that all of them use.
#ifndef RALLY_SERVICES_CLI_COMMAND_CONTEXT_H_
#define RALLY_SERVICES_CLI_COMMAND_CONTEXT_H_

#include <string>

#include <absl/status/status.h>
#include <google/protobuf/message.h>

#include "common/shutdown.h"
#include "proto/credentials.h"
#include "services/cli/console.h"
#include "services/cli/interruption.h"

namespace rally {

// Everything is borrowed and outlives the command.
struct CommandContext {
  Console* console;
  ShutdownSignal* shutdown;
  std::string program_directory;  // Where rally-coordinator and rally-worker are.
};

inline constexpr int kSignalBase = 128;  // Of the exit codes of what a signal has stopped.

// Options that every command takes.
struct GlobalOptions {
  std::string coordinator = "127.0.0.1:7070";  // HOST:PORT
  ClientSecurity security;
  bool json = false;
};

// While it lives, SIGINT and SIGTERM end the process at once with 128 + their number, wherever it
// is: for what has nothing to clean up. A SignalGuard takes its place for good.
class SuddenEnd {
 public:
  explicit SuddenEnd(ShutdownSignal* shutdown);
  ~SuddenEnd();
  SuddenEnd(const SuddenEnd&) = delete;
  SuddenEnd& operator=(const SuddenEnd&) = delete;

 private:
  ShutdownSignal& shutdown_;
};

// While it lives, SIGINT and SIGTERM interrupt, so that what is under way can be cleaned up; after
// it they are noted alone (ShutdownSignal::requested). One at a time.
class SignalGuard {
 public:
  SignalGuard(ShutdownSignal* shutdown, Interruption* interruption);
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  ShutdownSignal& shutdown_;
};

// The canonical JSON of a message on one line, with proto field names and defaults printed.
std::string ToJsonLine(const google::protobuf::Message& message);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_COMMAND_CONTEXT_H_
