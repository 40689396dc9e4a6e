// Fuzzes the coordinator's core: whatever happens in whatever order, and whatever members say, it
// keeps its contract (core_cluster.h).
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/core_cluster.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kMostSteps = 200;
  FuzzedDataProvider bytes(data, size);
  rally::test::CoreCluster cluster(&bytes);
  for (int i = 0; i < kMostSteps && bytes.remaining_bytes() > 0; ++i) cluster.Step();
  return 0;
}
