#include "scheduler/layer_time.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "scheduler/phase_routes.h"
#include "scheduler/plan_traffic.h"

namespace rally {
namespace {

// What one rank does in one phase.
struct RankPhase {
  double attention = 0.0;  // Seconds of its tasks.
  double bytes = 0.0;      // Of requests and replies it packs or merges, those to itself too.
  double sent = 0.0;       // Seconds of messages to other ranks,
  double received = 0.0;   // and from them.
  bool takes_part = false;
};

class PhasePredictor {
 public:
  PhasePredictor(const Plan& plan, const Topology& topology, const ModelShape& model,
                 const CostModel& costs, Direction direction)
      : plan_(plan), topology_(topology), model_(model), costs_(costs), direction_(direction) {}

  LayerTime Predict(size_t micro_batch, int nano_batch) const {
    std::vector<RankPhase> ranks(static_cast<size_t>(plan_.ranks()));
    for (const CaTask& task : plan_.micro_batches[micro_batch].tasks[nano_batch]) {
      ranks[static_cast<size_t>(task.server)].attention +=
          costs_.TaskSeconds(model_, direction_, task);
    }
    for (const Route& route : RoutePhase(plan_, static_cast<int>(micro_batch), nano_batch).routes) {
      AddRoute(route, &ranks);
    }
    LayerTime time;
    for (const RankPhase& rank : ranks) {
      const double handling = rank.takes_part ? costs_.PhaseSeconds(direction_, rank.bytes) : 0.0;
      time.attention = std::max(time.attention, rank.attention + handling);
      time.transfer = std::max({time.transfer, rank.sent, rank.received});
    }
    for (const Chunk& chunk : plan_.micro_batches[micro_batch].chunks) {
      const int64_t tokens = TokenCount(chunk.nano_batches[nano_batch]);
      time.linear = std::max(time.linear, costs_.LinearSeconds(model_, direction_, tokens));
    }
    return time;
  }

 private:
  void AddRoute(const Route& route, std::vector<RankPhase>* ranks) const {
    const RemoteRows rows = {route.query_rows, route.kv_rows};
    const double request = RequestBytes(rows, direction_, model_, costs_.element_bytes());
    const double reply = ReplyBytes(rows, direction_, model_, costs_.element_bytes());
    RankPhase& home = (*ranks)[static_cast<size_t>(route.home)];
    RankPhase& server = (*ranks)[static_cast<size_t>(route.server)];
    home.takes_part = server.takes_part = true;
    home.bytes += request + reply;
    if (route.home == route.server) return;
    server.bytes += request + reply;
    const LinkClass link = topology_.link(route.home, route.server);
    const double there = costs_.TransferSeconds(link, request);
    const double back = costs_.TransferSeconds(link, reply);
    home.sent += there;
    server.received += there;
    server.sent += back;
    home.received += back;
  }

  const Plan& plan_;
  const Topology& topology_;
  const ModelShape& model_;
  const CostModel& costs_;
  const Direction direction_;
};

}  // namespace

LayerTime PredictLayer(const Plan& plan, const Topology& topology, const ModelShape& model,
                       const CostModel& costs, Direction direction) {
  const PhasePredictor predictor(plan, topology, model, costs, direction);
  LayerTime layer;
  for (size_t micro_batch = 0; micro_batch < plan.micro_batches.size(); ++micro_batch) {
    const bool overlap = NanoBatchInUse(plan.micro_batches[micro_batch], 0) &&
                         NanoBatchInUse(plan.micro_batches[micro_batch], 1);
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      if (!NanoBatchInUse(plan.micro_batches[micro_batch], nano_batch)) continue;
      const LayerTime phase = predictor.Predict(micro_batch, nano_batch);
      const double computing = phase.linear + phase.attention;
      layer.linear += phase.linear;
      layer.attention += phase.attention;
      layer.transfer += phase.transfer;
      layer.total += overlap ? std::max(computing, phase.transfer) : computing + phase.transfer;
    }
  }
  return layer;
}

}  // namespace rally
