// UTF-8 (RFC 3629): where text from outside stops being it. Pure functions, any thread.
#ifndef RALLY_COMMON_UTF8_H_
#define RALLY_COMMON_UTF8_H_

#include <cstddef>

#include <absl/strings/string_view.h>

namespace rally {

// Bytes of the valid character at the front of `text`, which is not empty; 0 when there is none.
size_t Utf8CharacterLength(absl::string_view text);

// Bytes of the longest prefix that is UTF-8: all of them, when `text` is.
size_t Utf8PrefixLength(absl::string_view text);

}  // namespace rally

#endif  // RALLY_COMMON_UTF8_H_
