#include "scheduler/profile.h"

#include <charconv>
#include <cmath>
#include <cstddef>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/profile_text.h"

namespace rally {
namespace {

absl::Status CheckCount(absl::string_view record, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(record, ": ", value, " is not in [1, ", most, "]"));
}

absl::Status CheckNames(const Profile& profile) {
  if (profile.name.empty() || profile.name.find_first_of(" \t\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("name: \"", profile.name, "\" is not one word"));
  }
  for (const std::string& source : profile.sources) {
    if (!source.empty() && absl::StripAsciiWhitespace(source) == source &&
        source.find('\n') == std::string::npos) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("source: \"", source, "\" is not a line of text"));
  }
  return absl::OkStatus();
}

absl::Status CheckTimes(absl::string_view record, const Profile::Times& times, size_t least) {
  if (times.size() < least) {
    return absl::InvalidArgumentError(
        absl::StrCat(record, ": has ", times.size(), " points, at least ", least, " are needed"));
  }
  for (const auto& [amount, seconds] : times) {
    for (const double value : {amount, seconds}) {
      if (std::isfinite(value) && value > 0.0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(record, ": ", value, " is not positive and finite"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAscending(absl::string_view record, const Profile::Times& times) {
  double last = 0.0;
  for (const auto& [amount, seconds] : times) {
    if (seconds < last) {
      return absl::InvalidArgumentError(absl::StrCat(record, ": ", amount, " bytes take ", seconds,
                                                     " s, less than fewer bytes, ", last, " s"));
    }
    last = seconds;
  }
  return absl::OkStatus();
}

absl::Status CheckCost(absl::string_view record, const Profile::Cost& cost) {
  for (const double value : {cost.seconds, cost.seconds_each}) {
    if (std::isfinite(value) && value >= 0.0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(record, ": ", value, " is negative or not finite"));
  }
  return absl::OkStatus();
}

absl::Status CheckDirection(const Profile& profile, size_t d) {
  const std::string direction = absl::StrCat(" ", kDirectionWords[d]);
  if (profile.attention[d].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("attention", direction, ": has no points"));
  }
  RALLY_RETURN_IF_ERROR(Annotate(RateGrid::Make(profile.attention[d]).status(),
                                 absl::StrCat("attention", direction)));
  RALLY_RETURN_IF_ERROR(CheckTimes(absl::StrCat("linear", direction), profile.linear[d], 1));
  const bool has_head = profile.head_parameters != 0;
  RALLY_RETURN_IF_ERROR(
      CheckTimes(absl::StrCat("head", direction), profile.head[d], has_head ? 1 : 0));
  if (!has_head && !profile.head[d].empty()) {
    return absl::InvalidArgumentError("head-parameters: is missing beside head times");
  }
  return CheckCost(absl::StrCat("phase", direction), profile.phase[d]);
}

std::string ExactNumber(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

void AppendTimes(absl::string_view record, const Profile::Times& times, std::string* text) {
  for (const auto& [amount, seconds] : times) {
    absl::StrAppend(text, record, " ", ExactNumber(amount), " ", ExactNumber(seconds), "\n");
  }
}

void AppendCost(absl::string_view record, const Profile::Cost& cost, std::string* text) {
  if (cost == Profile::Cost{}) return;
  absl::StrAppend(text, record, " ", ExactNumber(cost.seconds), " ", ExactNumber(cost.seconds_each),
                  "\n");
}

}  // namespace

absl::Status CheckProfile(const Profile& profile) {
  RALLY_RETURN_IF_ERROR(CheckNames(profile));
  RALLY_RETURN_IF_ERROR(CheckCount("element-bytes", profile.element_bytes, kMostElementBytes));
  RALLY_RETURN_IF_ERROR(CheckCount("attention-shape: heads", profile.heads, kMostHeads));
  RALLY_RETURN_IF_ERROR(CheckCount("attention-shape: kv_heads", profile.kv_heads, kMostHeads));
  RALLY_RETURN_IF_ERROR(CheckCount("attention-shape: head_dim", profile.head_dim, kMostHeads));
  RALLY_RETURN_IF_ERROR(CheckCount("layer-parameters", profile.layer_parameters, kMostParameters));
  if (profile.head_parameters != 0) {
    RALLY_RETURN_IF_ERROR(CheckCount("head-parameters", profile.head_parameters, kMostParameters));
  }
  for (size_t d = 0; d < kDirections; ++d) RALLY_RETURN_IF_ERROR(CheckDirection(profile, d));
  for (size_t l = 0; l < kLinkClasses; ++l) {
    const std::string record = absl::StrCat("transfer ", kLinkWords[l]);
    RALLY_RETURN_IF_ERROR(CheckTimes(record, profile.transfer[l], 2));
    RALLY_RETURN_IF_ERROR(CheckAscending(record, profile.transfer[l]));
  }
  RALLY_RETURN_IF_ERROR(CheckCost("update", profile.update));
  return CheckCost("reduce", profile.reduce);
}

std::string FormatProfile(const Profile& profile) {
  std::string text = absl::StrCat(kProfileVersion, "\nname ", profile.name, "\n");
  for (const std::string& source : profile.sources) absl::StrAppend(&text, "source ", source, "\n");
  absl::StrAppend(&text, "element-bytes ", profile.element_bytes, "\nattention-shape ",
                  profile.heads, " ", profile.kv_heads, " ", profile.head_dim,
                  "\nlayer-parameters ", profile.layer_parameters, "\n");
  if (profile.head_parameters != 0) {
    absl::StrAppend(&text, "head-parameters ", profile.head_parameters, "\n");
  }
  for (size_t d = 0; d < kDirections; ++d) {
    for (const auto& [point, rate] : profile.attention[d]) {
      absl::StrAppend(&text, "attention ", kDirectionWords[d], " ", ExactNumber(point.first), " ",
                      ExactNumber(point.second), " ", ExactNumber(rate), "\n");
    }
  }
  for (size_t d = 0; d < kDirections; ++d) {
    AppendTimes(absl::StrCat("linear ", kDirectionWords[d]), profile.linear[d], &text);
  }
  for (size_t d = 0; d < kDirections; ++d) {
    AppendTimes(absl::StrCat("head ", kDirectionWords[d]), profile.head[d], &text);
  }
  for (size_t l = 0; l < kLinkClasses; ++l) {
    AppendTimes(absl::StrCat("transfer ", kLinkWords[l]), profile.transfer[l], &text);
  }
  for (size_t d = 0; d < kDirections; ++d) {
    AppendCost(absl::StrCat("phase ", kDirectionWords[d]), profile.phase[d], &text);
  }
  AppendCost("update", profile.update, &text);
  AppendCost("reduce", profile.reduce, &text);
  return text;
}

}  // namespace rally
