// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/tile_table.h"
#include "workers/attention/vector_avx512_bf16.h"

namespace rally {

const AttentionTiles kAvx512Bf16Tiles = kTilesOf<VectorAvx512Bf16, Bfloat16>;

}  // namespace rally
#endif  // defined(__x86_64__)
