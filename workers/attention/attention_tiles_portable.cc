#include "workers/attention/tile_table.h"
#include "workers/attention/vector_portable.h"

namespace rally {

const AttentionTiles kPortableTiles[2] = {kTilesOf<VectorPortable, float>,
                                          kTilesOf<VectorPortable, Bfloat16>};

}  // namespace rally
