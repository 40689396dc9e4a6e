// The table of one instruction set's tiles for one element, from the templates of the tiles.
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_TILE_TABLE_H_
#define RALLY_WORKERS_ATTENTION_TILE_TABLE_H_

#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_tile.h"
#include "workers/attention/forward_tile.h"

namespace rally {

template <class V, class Element>
constexpr AttentionTiles kTilesOf = {
    .forward = RunForwardTile<V, Element>,
    .begin_keys = BeginBackwardKeys<V, Element>,
    .add_queries = AddBackwardQueries<V, Element>,
    .add_query_gradient = AddBackwardQueryGradient<V>,
    .end_keys = EndBackwardKeys<V>,
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_TILE_TABLE_H_
