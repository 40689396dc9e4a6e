#include "services/coordinator/token_table.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr size_t kLongestName = 64;

bool IsName(absl::string_view name) {
  return name.size() <= kLongestName && std::all_of(name.begin(), name.end(), [](char letter) {
           return absl::ascii_isalnum(letter) || letter == '-' || letter == '_' || letter == '.' ||
                  letter == '@';
         });
}

}  // namespace

absl::StatusOr<TokenTable::Entry> TokenTable::ParseLine(absl::string_view line) {
  const std::vector<absl::string_view> fields =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (fields.size() != 3) {
    return absl::InvalidArgumentError("is not NAME ROLE sha256:DIGEST");
  }
  if (!IsName(fields[0])) {
    return absl::InvalidArgumentError(
        absl::StrCat("name: is not 1 to ", kLongestName, " letters, digits and any of -_.@"));
  }
  const std::optional<Role> role = FindRole(fields[1]);
  if (!role.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("role: is not one of ", kRoleNames));
  }
  Entry entry = {{std::string(fields[0]), *role}, {}};
  absl::string_view hex = fields[2];
  if (!absl::ConsumePrefix(&hex, "sha256:") || hex.size() != 2 * entry.digest.size() ||
      !std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit)) {
    return absl::InvalidArgumentError("digest: is not sha256: and 64 hexadecimal digits");
  }
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), entry.digest.begin());
  return entry;
}

absl::StatusOr<TokenTable> TokenTable::Parse(absl::string_view text) {
  TokenTable table;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    absl::StatusOr<Entry> entry = ParseLine(line);
    if (!entry.ok()) return Annotate(entry.status(), absl::StrCat("line ", number));
    table.entries_.push_back(*std::move(entry));
  }
  if (table.entries_.empty()) return absl::InvalidArgumentError("holds no token");
  return table;
}

const Caller* TokenTable::Find(absl::string_view token) const {
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(), digest.data());
  const Caller* found = nullptr;
  for (const Entry& entry : entries_) {  // All of them, always.
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) {
      found = &entry.caller;
    }
  }
  return found;
}

}  // namespace rally
