#include "services/cli/command_context.h"

#include <unistd.h>

#include <google/protobuf/util/json_util.h>

#include "common/check.h"

namespace rally {

SuddenEnd::SuddenEnd(ShutdownSignal* shutdown) : shutdown_(*shutdown) {
  shutdown_.OnRequest([shutdown] { _exit(kSignalBase + shutdown->signal_number()); });
}

SuddenEnd::~SuddenEnd() { shutdown_.OnRequest(nullptr); }

SignalGuard::SignalGuard(ShutdownSignal* shutdown, Interruption* interruption)
    : shutdown_(*shutdown) {
  shutdown_.OnRequest(
      [interruption] { interruption->Interrupt(absl::CancelledError("interrupted")); });
}

SignalGuard::~SignalGuard() { shutdown_.OnRequest(nullptr); }

std::string ToJsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  RALLY_CHECK(status.ok(), status.ToString());
  return json;
}

}  // namespace rally
