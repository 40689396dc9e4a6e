// Collective: the reductions data-parallel ranks make together, over LibTorch's c10d.
//
// One file behind this header holds all that differs between LibTorch versions. CPU tensors go over
// Gloo. A collective of one rank needs no network and does nothing.
//
// Life: rank 0 makes a rendezvous (a c10d TCP store on a free port), the control plane hands its
// endpoint to the other ranks, each rank connects. Threads: one caller at a time.
// Errors: Unavailable when a peer is lost. A reduction waits without end for a peer that is slow:
// one may wait for attention servers. Whoever knows more calls Abort.
#ifndef RALLY_WORKERS_MODEL_COLLECTIVE_H_
#define RALLY_WORKERS_MODEL_COLLECTIVE_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

namespace rally {

class Collective {
 public:
  virtual ~Collective() = default;

  virtual int32_t rank() const = 0;
  virtual int32_t ranks() const = 0;

  // Sums `values` over all ranks in place, in an order fixed by the ranks: bit-identical
  // everywhere and between runs.
  virtual absl::Status AllReduceSum(absl::Span<float> values) = 0;
  virtual absl::Status AllReduceSum(absl::Span<double> values) = 0;

  // Makes a blocked or later call fail with `error`. From any thread.
  virtual void Abort(const absl::Status& error) = 0;
};

// Rank 0's meeting point; must live until every rank has connected.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  virtual std::string endpoint() const = 0;  // "host:port"
};

// Listens on a free port of `host` (an address peers can reach).
absl::StatusOr<std::unique_ptr<Rendezvous>> MakeRendezvous(const std::string& host);

// Blocks until all ranks are there, at most `timeout`: then DeadlineExceeded. Rank 0 passes its own
// rendezvous's endpoint too. With ranks == 1 the endpoint is not used.
absl::StatusOr<std::unique_ptr<Collective>> MakeCollective(int32_t rank, int32_t ranks,
                                                           const std::string& endpoint,
                                                           absl::Duration timeout);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_COLLECTIVE_H_
