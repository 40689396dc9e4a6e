// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_avx512.h"

namespace rally {

const AttentionTiles kAvx512Tiles = {
    .name = "avx512",
    .forward = RunForwardTile<VectorAvx512>,
    .begin_keys = BeginBackwardKeys<VectorAvx512>,
    .add_queries = AddBackwardQueries<VectorAvx512>,
    .add_query_gradient = AddBackwardQueryGradient<VectorAvx512>,
    .end_keys = EndBackwardKeys<VectorAvx512>,
};

}  // namespace rally
#endif  // defined(__x86_64__)
