// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_avx2.h"

namespace rally {
namespace {

template <class Element>
constexpr AttentionTiles kTiles = {
    .forward = RunForwardTile<VectorAvx2, Element>,
    .begin_keys = BeginBackwardKeys<VectorAvx2, Element>,
    .add_queries = AddBackwardQueries<VectorAvx2, Element>,
    .add_query_gradient = AddBackwardQueryGradient<VectorAvx2>,
    .end_keys = EndBackwardKeys<VectorAvx2>,
};

}  // namespace

const AttentionTiles kAvx2Tiles[2] = {kTiles<float>, kTiles<Bfloat16>};

}  // namespace rally
#endif  // defined(__x86_64__)
