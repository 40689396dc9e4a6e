#include "tests/model/writer_group.h"

#include <random>
#include <utility>

#include <absl/time/clock.h>

#include "common/status_macros.h"

namespace rally::testing {

TestArrays::TestArrays(const JobSpec& spec)
    : layout(LayOutWeights(spec.model)),
      values(layout.elements),
      first(layout.elements),
      second(layout.elements) {}

void TestArrays::Fill(int64_t seed) {
  std::minstd_rand random(static_cast<uint32_t>(seed));
  for (std::vector<float>* array : {&values, &first, &second}) {
    for (const WeightInfo& weight : layout.weights) {
      for (int64_t i = 0; i < weight.elements; ++i) {
        (*array)[weight.offset + i] = static_cast<float>(random());
      }
    }
  }
}

WriterGroup::WriterGroup(const JobSpec& spec, absl::Duration patience,
                         std::vector<WriteTensors> write)
    : run_(std::random_device()()) {
  for (int32_t rank = 0; rank < spec.workers; ++rank) {
    CheckpointWriterOptions options;
    options.spec = spec;
    options.rank = rank;
    options.run = run_;
    options.patience = patience;
    if (static_cast<size_t>(rank) < write.size() && write[rank]) options.write = write[rank];
    writers_.push_back(std::make_unique<CheckpointWriter>(std::move(options),
                                                          [this](const CheckpointOutcome& outcome) {
                                                            absl::MutexLock lock(&mutex_);
                                                            outcomes_.push_back(outcome);
                                                          }));
  }
}

absl::Status WriterGroup::Start(const CheckpointArrays& arrays, const TrainingPosition& position) {
  for (const auto& writer : writers_) RALLY_RETURN_IF_ERROR(writer->Start(arrays, position));
  return absl::OkStatus();
}

CheckpointOutcome WriterGroup::Await(absl::Duration patience) {
  absl::MutexLock lock(&mutex_);
  const auto any = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !outcomes_.empty(); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&any), patience)) {
    return {0, "", absl::DeadlineExceededError("no checkpoint was reported")};
  }
  CheckpointOutcome outcome = outcomes_.front();
  outcomes_.erase(outcomes_.begin());
  return outcome;
}

CheckpointOutcome WriterGroup::Save(const CheckpointArrays& arrays,
                                    const TrainingPosition& position) {
  const absl::Status started = Start(arrays, position);
  return started.ok() ? Await() : CheckpointOutcome{position.step, "", started};
}

}  // namespace rally::testing
