// WriterGroup: the checkpoint writers of all workers of a job, in one process.
#ifndef RALLY_TESTS_MODEL_WRITER_GROUP_H_
#define RALLY_TESTS_MODEL_WRITER_GROUP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "workers/model/checkpoint_writer.h"

namespace rally::testing {

// Weights and moments of a job, which a test fills.
struct TestArrays {
  explicit TestArrays(const JobSpec& spec);

  // With numbers that depend on `seed` alone. Between weights there is zero, as in real ones.
  void Fill(int64_t seed);
  CheckpointArrays arrays() {
    return {absl::MakeSpan(values), absl::MakeSpan(first), absl::MakeSpan(second)};
  }
  friend bool operator==(const TestArrays& a, const TestArrays& b) {
    return a.values == b.values && a.first == b.first && a.second == b.second;
  }

  WeightLayout layout;
  std::vector<float> values, first, second;
};

class WriterGroup {
 public:
  // `write` of every rank, by rank; what is missing writes as always.
  explicit WriterGroup(const JobSpec& spec, absl::Duration patience = absl::Seconds(60),
                       std::vector<WriteTensors> write = {});

  // All ranks.
  absl::Status Start(const CheckpointArrays& arrays, const TrainingPosition& position);
  absl::Status Start(int32_t rank, const CheckpointArrays& arrays,
                     const TrainingPosition& position) {
    return writers_[rank]->Start(arrays, position);
  }
  // The oldest outcome that was not taken yet; DeadlineExceeded in its status when there is none.
  CheckpointOutcome Await(absl::Duration patience = absl::Seconds(60));
  // Start and Await.
  CheckpointOutcome Save(const CheckpointArrays& arrays, const TrainingPosition& position);

  CheckpointWriter& writer(int32_t rank) { return *writers_[rank]; }
  uint64_t run() const { return run_; }

 private:
  const uint64_t run_;
  absl::Mutex mutex_;
  std::vector<CheckpointOutcome> outcomes_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<CheckpointWriter>> writers_;
};

}  // namespace rally::testing

#endif  // RALLY_TESTS_MODEL_WRITER_GROUP_H_
