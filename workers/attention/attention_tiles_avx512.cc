// Compiled with its own flags (CMakeLists.txt); empty on other processors.
#if defined(__x86_64__)
#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"
#include "workers/attention/vector_avx512.h"

namespace rally {
namespace {

template <class Element>
constexpr AttentionTiles kTiles = {
    .forward = RunForwardTile<VectorAvx512, Element>,
    .begin_keys = BeginBackwardKeys<VectorAvx512, Element>,
    .add_queries = AddBackwardQueries<VectorAvx512, Element>,
    .add_query_gradient = AddBackwardQueryGradient<VectorAvx512>,
    .end_keys = EndBackwardKeys<VectorAvx512>,
};

}  // namespace

const AttentionTiles kAvx512Tiles[2] = {kTiles<float>, kTiles<Bfloat16>};

}  // namespace rally
#endif  // defined(__x86_64__)
