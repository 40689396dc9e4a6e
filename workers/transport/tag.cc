#include "workers/transport/tag.h"

#include <cstddef>

#include <absl/strings/str_cat.h>

namespace rally {
namespace {

// Appends the low `bits` bits of `value` to `code`.
uint64_t Append(uint64_t code, uint64_t value, int bits) {
  return (code << bits) | (value & ((uint64_t{1} << bits) - 1));
}

// By MessageKind.
constexpr const char* kKinds[] = {" request", " reply", " stage", " reduce"};

}  // namespace

uint64_t Tag::Encode() const {
  uint64_t code = 0;
  code = Append(code, epoch, 10);
  code = Append(code, static_cast<uint64_t>(round), 18);
  code = Append(code, static_cast<uint64_t>(micro_batch), 10);
  code = Append(code, static_cast<uint64_t>(layer), 10);
  code = Append(code, static_cast<uint64_t>(nano_batch), 1);
  code = Append(code, backward ? 1 : 0, 1);
  code = Append(code, static_cast<uint64_t>(kind), 2);
  return Append(code, static_cast<uint64_t>(source), 12);
}

std::string Tag::ToString() const {
  return absl::StrCat("epoch ", epoch, " round ", round, " micro-batch ", micro_batch, " layer ",
                      layer, nano_batch == 0 ? " ping" : " pong",
                      backward ? " backward" : " forward", kKinds[static_cast<size_t>(kind)],
                      " from ", source);
}

}  // namespace rally
