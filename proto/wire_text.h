// WireText: text as protobuf strings must be: valid UTF-8.
#ifndef RALLY_PROTO_WIRE_TEXT_H_
#define RALLY_PROTO_WIRE_TEXT_H_

#include <string>

#include <absl/strings/string_view.h>

namespace rally {

// At most `longest` bytes of `text`; every byte that is not part of valid UTF-8 becomes '?'. File
// names and messages of other libraries can hold anything. Pure, any thread.
std::string WireText(absl::string_view text, size_t longest);

}  // namespace rally

#endif  // RALLY_PROTO_WIRE_TEXT_H_
