// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/model/row_loops.h"

namespace rally {
namespace {

struct Avx2 {
  static constexpr const char* kName = "avx2";
};

}  // namespace

const RowOperationSet kAvx2RowOperations = kRowOperationsOf<Avx2>;

}  // namespace rally
#endif  // defined(__x86_64__)
