#include "workers/wire_text.h"

#include <cstdint>

namespace rally {
namespace {

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0u) == 0x80u; }

// Bytes of the valid character at the front of `text` (RFC 3629), 0 when there is none.
size_t CharacterLength(absl::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  const auto second = static_cast<uint8_t>(text[1]);
  // Overlong forms, surrogates, and what lies beyond the last code point.
  const bool excluded = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return excluded ? 0 : length;
}

}  // namespace

std::string WireText(absl::string_view text, size_t longest) {
  std::string result;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const size_t taken = length == 0 ? 1 : length;
    if (result.size() + taken > longest) break;
    if (length == 0) {
      result.push_back('?');
    } else {
      result.append(text.data(), length);
    }
    text.remove_prefix(taken);
  }
  return result;
}

}  // namespace rally
