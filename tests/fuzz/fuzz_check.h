// FuzzCheck: what a fuzz target says of a property that does not hold.
//
// Prints and aborts, so that libFuzzer keeps the input.
#ifndef RALLY_TESTS_FUZZ_FUZZ_CHECK_H_
#define RALLY_TESTS_FUZZ_FUZZ_CHECK_H_

#include <cstdlib>
#include <iostream>
#include <string>

namespace rally::test {

inline void FuzzCheck(bool holds, const std::string& property) {
  if (holds) return;
  std::cerr << "property broken: " << property << "\n";
  std::abort();
}

}  // namespace rally::test

#endif  // RALLY_TESTS_FUZZ_FUZZ_CHECK_H_
