#include "tests/simulation/simulated_client.h"

#include <absl/strings/str_cat.h>

namespace rally::simulation {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(1);

}  // namespace

void SimulatedClient::Submit() {
  if (submitted_) return;
  setup_.network->Request([this] {
    if (setup_.coordinator() == nullptr) return;
    setup_.coordinator()->Submit(
        setup_.job_id, setup_.spec, [this](const absl::StatusOr<v1::Job>& answer) {
          setup_.network->Respond([this, status = answer.status()] {
            if (submitted_) return;
            if (!status.ok() && !world_.invariants.gone(setup_.job_id)) {
              return world_.invariants.Break(
                  absl::StrCat("the submission of ", setup_.job_id, ": ", status.ToString()));
            }
            world_.Note("the submission of ", setup_.job_id, " is acknowledged");
            submitted_ = true;
            world_.invariants.SubmitAcknowledged(setup_.job_id);
            SubmitAnother();
            if (!setup_.cancel_after.has_value()) return;
            world_.timeline.After(*setup_.cancel_after, [this] { Cancel(); });
          });
        });
  });
  world_.timeline.After(kRetry, [this] { Submit(); });
}

// The same id with another spec is refused, whatever has become of the job.
void SimulatedClient::SubmitAnother() {
  JobSpec other = setup_.spec;
  ++other.training.steps;
  setup_.network->Request([this, other] {
    if (setup_.coordinator() == nullptr) return;
    setup_.coordinator()->Submit(
        setup_.job_id, other, [this](const absl::StatusOr<v1::Job>& answer) {
          if (answer.status().code() == absl::StatusCode::kAlreadyExists) return;
          if (!answer.ok() && world_.invariants.gone(setup_.job_id)) return;
          world_.invariants.Break(
              absl::StrCat("job ", setup_.job_id,
                           " was submitted with another spec: ", answer.status().ToString()));
        });
  });
}

void SimulatedClient::Cancel() {
  if (cancelled_) return;
  setup_.network->Request([this] {
    if (setup_.coordinator() == nullptr) return;
    setup_.coordinator()->Cancel(
        setup_.job_id, setup_.grace, [this](const absl::StatusOr<v1::Job>& answer) {
          setup_.network->Respond([this, status = answer.status()] {
            if (cancelled_) return;
            if (absl::IsNotFound(status) && world_.invariants.gone(setup_.job_id)) {
              cancelled_ = true;
              return;
            }
            if (!status.ok()) {
              return world_.invariants.Break(
                  absl::StrCat("the cancel of ", setup_.job_id, ": ", status.ToString()));
            }
            world_.Note("the cancel of ", setup_.job_id, " is acknowledged");
            cancelled_ = true;
            world_.invariants.CancelAcknowledged(setup_.job_id,
                                                 world_.timeline.now() + setup_.grace);
          });
        });
  });
  world_.timeline.After(kRetry, [this] { Cancel(); });
}

}  // namespace rally::simulation
