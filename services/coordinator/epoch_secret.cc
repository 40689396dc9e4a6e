#include "services/coordinator/epoch_secret.h"

#include <sys/random.h>

#include "common/check.h"

namespace rally {

std::string MakeEpochSecret() {
  std::string secret(32, '\0');  // Up to 256 bytes come whole.
  const ssize_t made = getrandom(secret.data(), secret.size(), 0);
  RALLY_CHECK(made == static_cast<ssize_t>(secret.size()), "the system gives no random bytes");
  return secret;
}

}  // namespace rally
