// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_avx512_bf16.h"

namespace rally {

const AttentionTiles kAvx512Bf16Tiles = {
    .forward = RunForwardTile<VectorAvx512Bf16, Bfloat16>,
    .begin_keys = BeginBackwardKeys<VectorAvx512Bf16, Bfloat16>,
    .add_queries = AddBackwardQueries<VectorAvx512Bf16, Bfloat16>,
    .add_query_gradient = AddBackwardQueryGradient<VectorAvx512Bf16>,
    .end_keys = EndBackwardKeys<VectorAvx512Bf16>,
};

}  // namespace rally
#endif  // defined(__x86_64__)
