#include "tests/simulation/parts.h"

#include <algorithm>

#include "tests/simulation/simulated_store.h"

namespace rally::simulation {
namespace {

class PlainCore final : public CorePort {
 public:
  explicit PlainCore(const CoreOptions& options) : core_(options) {}

  std::vector<Action> Apply(const Event& event, absl::Time now) override {
    return core_.Apply(event, now);
  }
  const CoordinatorCore& core() const override { return core_; }

 private:
  CoordinatorCore core_;
};

}  // namespace

std::unique_ptr<CorePort> CorePort::Make(const CoreOptions& options) {
  return std::make_unique<PlainCore>(options);
}

void PersistFirst(std::vector<Action>* actions) {
  std::stable_partition(actions->begin(), actions->end(), SimulatedStore::Concerns);
}

}  // namespace rally::simulation
