#include "services/cli/job_summary.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>

#include "proto/convert.h"
#include "services/cli/or_null.h"

namespace rally {
namespace {

// Share of the newest step in the moving average of the pace.
constexpr double kPaceWeight = 0.1;

std::string Shown(std::optional<double> value, int digits) {
  return value.has_value() ? absl::StrFormat("%.*f", digits, *value) : "-";
}

}  // namespace

std::string PhaseWord(v1::JobPhase phase) {
  const std::string name = v1::JobPhase_Name(phase);
  return absl::AsciiStrToLower(absl::StripPrefix(name, "JOB_PHASE_"));
}

void JobSummary::Add(const v1::JobEvent& event) {
  sequence_ = event.sequence();
  switch (event.event_case()) {
    case v1::JobEvent::kStatus:
      status_ = event.status();
      if (!status_.checkpoint().empty()) checkpoint_ = status_.checkpoint();
      break;
    case v1::JobEvent::kStep:
      AddStep(event.step());
      break;
    case v1::JobEvent::kValidation:
      last_validation_ = event.validation();
      break;
    case v1::JobEvent::kCheckpoint:
      checkpoint_ = event.checkpoint().directory();
      break;
    case v1::JobEvent::EVENT_NOT_SET:
      break;
  }
}

void JobSummary::AddStep(const v1::StepReport& step) {
  const absl::Duration duration = FromProto(step.duration());
  if (steps_ == 0) {
    first_loss_ = step.loss();
  } else {
    timed_tokens_ += step.tokens();
    timed_ += duration;
    pace_ = pace_ == absl::ZeroDuration() ? duration
                                          : (1 - kPaceWeight) * pace_ + kPaceWeight * duration;
  }
  ++steps_;
  sum_without_plan_ += step.imbalance_without_plan();
  sum_with_plan_ += step.imbalance_with_plan();
  last_step_ = step;
  paced_.Add(step);
}

std::optional<double> JobSummary::last_loss() const {
  if (last_validation_.has_value()) return last_validation_->loss();
  if (last_step_.has_value()) return last_step_->loss();
  return std::nullopt;
}

std::optional<double> JobSummary::tokens_per_second() const {
  if (timed_ <= absl::ZeroDuration()) return std::nullopt;
  return static_cast<double>(timed_tokens_) / absl::ToDoubleSeconds(timed_);
}

std::optional<double> JobSummary::imbalance_without_plan() const {
  if (steps_ == 0) return std::nullopt;
  return sum_without_plan_ / static_cast<double>(steps_);
}

std::optional<double> JobSummary::imbalance_with_plan() const {
  if (steps_ == 0) return std::nullopt;
  return sum_with_plan_ / static_cast<double>(steps_);
}

std::optional<absl::Duration> JobSummary::time_left() const {
  if (steps_ < 2 || status_.total_steps() < last_step_->step()) return std::nullopt;
  return static_cast<double>(status_.total_steps() - last_step_->step()) * pace_;
}

std::string JobSummary::reason() const {
  const v1::Condition* latest = nullptr;
  for (const v1::Condition& condition : status_.conditions()) {
    if (latest == nullptr ||
        FromProto(condition.last_transition_time()) >= FromProto(latest->last_transition_time())) {
      latest = &condition;
    }
  }
  return latest == nullptr ? "" : latest->message();
}

nlohmann::ordered_json JobSummary::ToJson(std::optional<double> bigram_entropy) const {
  nlohmann::ordered_json json = {{"job_id", job_id_},
                                 {"state", PhaseWord(status_.phase())},
                                 {"steps", last_step_.has_value() ? last_step_->step() : 0},
                                 {"first_loss", OrNull(first_loss_)},
                                 {"last_loss", OrNull(last_loss())},
                                 {"bigram_entropy", OrNull(bigram_entropy)},
                                 {"tokens_per_second", OrNull(tokens_per_second())},
                                 {"imbalance_without_plan", OrNull(imbalance_without_plan())},
                                 {"imbalance_with_plan", OrNull(imbalance_with_plan())},
                                 {"checkpoint", checkpoint_},
                                 {"weights_checksum", status_.weights_checksum()}};
  if (!paced_.empty()) json["paced"] = paced_.ToJson();
  return json;
}

std::string JobSummary::ToText(std::optional<double> bigram_entropy) const {
  const char* which = last_validation_.has_value() ? "validation" : "training";
  std::string text =
      absl::StrFormat("job %s %s after step %d of %d\n", job_id_, PhaseWord(status_.phase()),
                      last_step_.has_value() ? last_step_->step() : 0, status_.total_steps());
  absl::StrAppendFormat(&text, "  loss            %s at the start, %s at the end (%s), nats\n",
                        Shown(first_loss_, 4), Shown(last_loss(), 4), which);
  if (bigram_entropy.has_value()) {
    absl::StrAppendFormat(&text,
                          "  bigram entropy  %.4f of the text, the best that one token of "
                          "context allows\n",
                          *bigram_entropy);
  }
  absl::StrAppendFormat(&text, "  speed           %s tokens/s\n", Shown(tokens_per_second(), 0));
  absl::StrAppendFormat(&text,
                        "  imbalance       %s without the plan, %s with it (largest over "
                        "mean attention work)\n",
                        Shown(imbalance_without_plan(), 3), Shown(imbalance_with_plan(), 3));
  if (!paced_.empty()) absl::StrAppend(&text, paced_.ToText());
  absl::StrAppendFormat(&text, "  checkpoint      %s\n", checkpoint_.empty() ? "-" : checkpoint_);
  return text;
}

}  // namespace rally
