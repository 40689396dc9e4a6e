#include "workers/model/row_operations.h"

#include "common/cpu_features.h"
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
  const CpuFeatures features = GetCpuFeatures();
  if (features.avx2) sets.push_back(&kAvx2RowOperations);
  if (features.avx512) sets.push_back(&kAvx512RowOperations);
#endif
  return sets;
}

const RowOperations& RowOperationsFor(RowType type) {
  static const RowOperationSet* const best = AvailableRowOperations().back();
  return best->of[static_cast<int>(type)];
}

}  // namespace rally
