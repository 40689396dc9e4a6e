#include "services/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace rally {
namespace {

constexpr int kShortestBar = 7;
constexpr int kLongestBar = 32;

std::string Numbers(const JobSummary& summary) {
  const v1::StepReport& step = *summary.last_step();
  std::string text = absl::StrFormat("loss %.4f", step.loss());
  if (summary.last_validation().has_value()) {
    absl::StrAppendFormat(&text, "  held-out %.4f", summary.last_validation()->loss());
  }
  if (const auto speed = summary.tokens_per_second(); speed.has_value()) {
    absl::StrAppend(&text, "  ", ShortNumber(*speed), " tokens/s");
  }
  absl::StrAppendFormat(&text, "  imbalance %.2f > %.2f", step.imbalance_without_plan(),
                        step.imbalance_with_plan());
  if (const auto left = summary.time_left(); left.has_value()) {
    absl::StrAppend(&text, "  ", ShortDuration(*left), " left");
  }
  return text;
}

}  // namespace

std::string ShortNumber(double value) {
  if (value < 9999.5) return absl::StrFormat("%.0f", value);
  if (value < 999950) return absl::StrFormat("%.1fk", value / 1e3);
  return absl::StrFormat("%.1fM", value / 1e6);
}

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = std::llround(std::max(0.0, absl::ToDoubleSeconds(duration)));
  if (seconds < 60) return absl::StrFormat("%ds", seconds);
  if (seconds < 3600) return absl::StrFormat("%dm %02ds", seconds / 60, seconds % 60);
  return absl::StrFormat("%dh %02dm", seconds / 3600, seconds / 60 % 60);
}

std::string ProgressBar(double done, int width) {
  const int inner = std::max(0, width - 2);
  const int filled = static_cast<int>(std::clamp(done, 0.0, 1.0) * inner);
  return absl::StrCat("[", std::string(filled, '#'), std::string(inner - filled, '-'), "]");
}

std::string ProgressLine(const JobSummary& summary, int width) {
  const v1::JobStatus& status = summary.status();
  std::string head = absl::StrCat(summary.job_id(), "  ", PhaseWord(status.phase()), "  ");
  std::string tail;
  double done = 0;
  if (summary.last_step().has_value()) {
    const int64_t step = summary.last_step()->step();
    done = static_cast<double>(step) / std::max<double>(1, status.total_steps());
    tail = absl::StrCat("step ", step, "/", status.total_steps(), "  ", Numbers(summary));
  } else {
    const std::string reason = summary.reason();
    tail = reason.substr(0, reason.find('\n'));  // One line, whatever a member reports.
  }
  if (width == 0) return absl::StrCat(head, tail);
  const int free = width - static_cast<int>(head.size() + tail.size()) - 2;
  if (summary.last_step().has_value() && free >= kShortestBar) {
    absl::StrAppend(&head, ProgressBar(done, std::min(free, kLongestBar)), "  ");
  }
  return absl::StrCat(head, tail).substr(0, width);
}

}  // namespace rally
