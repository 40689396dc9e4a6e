#include "proto/wire_text.h"

#include "common/utf8.h"

namespace rally {

std::string WireText(absl::string_view text, size_t longest) {
  std::string result;
  while (!text.empty()) {
    const size_t length = Utf8CharacterLength(text);
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
