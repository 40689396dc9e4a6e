#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_portable.h"

namespace rally {

const AttentionTiles kPortableTiles = {
    .name = "portable",
    .forward = RunForwardTile<VectorPortable>,
    .begin_keys = BeginBackwardKeys<VectorPortable>,
    .add_queries = AddBackwardQueries<VectorPortable>,
    .add_query_gradient = AddBackwardQueryGradient<VectorPortable>,
    .end_keys = EndBackwardKeys<VectorPortable>,
};

}  // namespace rally
