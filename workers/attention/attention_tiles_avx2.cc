// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/tile_table.h"
#include "workers/attention/vector_avx2.h"

namespace rally {

const AttentionTiles kAvx2Tiles[2] = {kTilesOf<VectorAvx2, float>, kTilesOf<VectorAvx2, Bfloat16>};

}  // namespace rally
#endif  // defined(__x86_64__)
