// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/model/row_loops.h"

namespace rally {
namespace {

struct Avx512 {
  static constexpr const char* kName = "avx512";
};

}  // namespace

const RowOperationSet kAvx512RowOperations = kRowOperationsOf<Avx512>;

}  // namespace rally
#endif  // defined(__x86_64__)
