#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_portable.h"

namespace rally {
namespace {

template <class Element>
constexpr AttentionTiles kTiles = {
    .forward = RunForwardTile<VectorPortable, Element>,
    .begin_keys = BeginBackwardKeys<VectorPortable, Element>,
    .add_queries = AddBackwardQueries<VectorPortable, Element>,
    .add_query_gradient = AddBackwardQueryGradient<VectorPortable>,
    .end_keys = EndBackwardKeys<VectorPortable>,
};

}  // namespace

const AttentionTiles kPortableTiles[2] = {kTiles<float>, kTiles<Bfloat16>};

}  // namespace rally
