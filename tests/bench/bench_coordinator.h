// BenchCoordinator: a rally-coordinator process with a store that is full already.
//
// Beside this program's file; on loopback, with free ports; its folder is temporary. One thread.
#ifndef RALLY_TESTS_BENCH_BENCH_COORDINATOR_H_
#define RALLY_TESTS_BENCH_BENCH_COORDINATOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "tests/services/program.h"

namespace rally::bench {

class BenchCoordinator {
 public:
  // With a dataset, and `stored_jobs` jobs that have ended, of 30 events each.
  static absl::StatusOr<std::unique_ptr<BenchCoordinator>> Start(int stored_jobs);
  ~BenchCoordinator();
  BenchCoordinator(const BenchCoordinator&) = delete;
  BenchCoordinator& operator=(const BenchCoordinator&) = delete;

  const std::string& address() const { return address_; }  // Of gRPC.
  std::string dataset() const { return folder_ + "/data"; }
  int64_t ResidentBytes() const;
  double ProcessorSeconds() const;
  // Asks it to stop. Internal, with its output, when it does not end well.
  absl::Status Stop();

 private:
  explicit BenchCoordinator(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Fill(int stored_jobs);
  absl::Status Launch(int stored_jobs);

  const std::string folder_;
  std::string address_;
  int64_t pid_ = 0;
  std::unique_ptr<Program> program_;
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_BENCH_COORDINATOR_H_
