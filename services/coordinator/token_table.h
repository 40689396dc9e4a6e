// TokenTable: who may call the coordinator: the token file, parsed.
//
// The file, UTF-8 text, one token per line, blanks between the fields:
//
//   # name     role       digest of the token
//   alice      submitter  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//   worker     member     sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
//
// The name says in logs who called. Roles: permissions.h. The digest is the SHA-256 of the token's
// bytes in hexadecimal, so the file itself gives nobody a token; that is only as good as tokens
// are random. Empty lines and lines that begin with # do not count. A name may have several lines:
// an old and a new token, while one takes the other's place.
//
// Immutable once parsed; any thread.
#ifndef RALLY_SERVICES_COORDINATOR_TOKEN_TABLE_H_
#define RALLY_SERVICES_COORDINATOR_TOKEN_TABLE_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "services/coordinator/permissions.h"

namespace rally {

struct Caller {
  std::string name;
  Role role = Role::kViewer;
};

class TokenTable {
 public:
  // InvalidArgument names the line by its number, and never what may be a secret in it. A file
  // without any token is an error, as nobody could call.
  static absl::StatusOr<TokenTable> Parse(absl::string_view text);

  // Null for a token that is not there. The time it takes tells nothing about tokens.
  const Caller* Find(absl::string_view token) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Entry {
    Caller caller;
    Digest digest;
  };

  static absl::StatusOr<Entry> ParseLine(absl::string_view line);

  std::vector<Entry> entries_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_TOKEN_TABLE_H_
