#include "workers/model/row_operations.h"

#include "workers/model/row_loops.h"

namespace rally {
namespace {

struct Portable {
  static constexpr const char* kName = "portable";
};

}  // namespace

const RowOperationSet kPortableRowOperations = kRowOperationsOf<Portable>;

std::vector<const RowOperationSet*> AvailableRowOperations() {
  std::vector<const RowOperationSet*> sets = {&kPortableRowOperations};
#if defined(__x86_64__)
  __builtin_cpu_init();  // Asks the operating system too: it must save the wide registers.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return sets;
  sets.push_back(&kAvx2RowOperations);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    sets.push_back(&kAvx512RowOperations);
  }
#endif
  return sets;
}

const RowOperations& RowOperationsFor(RowType type) {
  static const RowOperationSet* const best = AvailableRowOperations().back();
  return best->of[static_cast<int>(type)];
}

}  // namespace rally
