// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_avx2.h"

namespace rally {

const AttentionTiles kAvx2Tiles = {
    .name = "avx2",
    .forward = RunForwardTile<VectorAvx2>,
    .begin_keys = BeginBackwardKeys<VectorAvx2>,
    .add_queries = AddBackwardQueries<VectorAvx2>,
    .add_query_gradient = AddBackwardQueryGradient<VectorAvx2>,
    .end_keys = EndBackwardKeys<VectorAvx2>,
};

}  // namespace rally
#endif  // defined(__x86_64__)
