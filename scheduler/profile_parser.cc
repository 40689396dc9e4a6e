#include <functional>
#include <limits>
#include <map>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/types/span.h>

#include "common/status_macros.h"
#include "scheduler/profile.h"
#include "scheduler/profile_text.h"

namespace rally {
namespace {

constexpr double kLargest = 1e30;

absl::Status Refuse(absl::string_view field, absl::string_view value, absl::string_view accepted) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": \"", value, "\" is not ", accepted));
}

// The fields of one record, read in order. The first error is kept; what follows reads as 0.
class Fields {
 public:
  explicit Fields(std::vector<absl::string_view> words) : words_(std::move(words)) {}

  size_t Word(absl::string_view field, absl::Span<const absl::string_view> accepted) {
    const absl::string_view word = Next(field);
    for (size_t i = 0; i < accepted.size(); ++i) {
      if (word == accepted[i]) return i;
    }
    Fail(Refuse(field, word, absl::StrJoin(accepted, ", ")));
    return 0;
  }
  double Positive(absl::string_view field) { return Number(field, true); }
  double NotNegative(absl::string_view field) { return Number(field, false); }
  int64_t Count(absl::string_view field, int64_t most) {
    const absl::string_view word = Next(field);
    int64_t value = 0;
    if (absl::SimpleAtoi(word, &value) && value >= 1 && value <= most) return value;
    Fail(Refuse(field, word, absl::StrCat("a whole number in [1, ", most, "]")));
    return 1;
  }

  // The first error; one, too, when words are left over.
  absl::Status End() {
    if (next_ < words_.size()) {
      Fail(absl::InvalidArgumentError(
          absl::StrCat("\"", words_[next_], "\" stands after the last field")));
    }
    return status_;
  }

 private:
  absl::string_view Next(absl::string_view field) {
    if (next_ < words_.size()) return words_[next_++];
    Fail(absl::InvalidArgumentError(absl::StrCat(field, ": is missing")));
    return "";
  }
  double Number(absl::string_view field, bool positive) {
    const absl::string_view word = Next(field);
    double value = 0.0;
    if (absl::SimpleAtod(word, &value) && value <= kLargest &&
        (positive ? value > 0.0 : value >= 0.0)) {
      return value;
    }
    Fail(Refuse(field, word, positive ? "a number in (0, 1e30]" : "a number in [0, 1e30]"));
    return 0.0;
  }
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  const std::vector<absl::string_view> words_;
  size_t next_ = 0;
  absl::Status status_;
};

// Reads the fields of one kind of record into a profile. False: that very point stands already.
using Reader = std::function<bool(Fields*, Profile*)>;

bool ReadTimes(absl::string_view amount, Fields* fields, Profile::Times* times) {
  const double at = fields->Positive(amount);
  return times->emplace(at, fields->Positive("seconds")).second;
}

bool ReadAttention(Fields* fields, Profile* profile) {
  const size_t direction = fields->Word("direction", kDirectionWords);
  const double query_rows = fields->Positive("query_rows");
  const double mean_keys = fields->Positive("mean_keys");
  return profile->attention[direction]
      .emplace(std::pair(query_rows, mean_keys), fields->Positive("pairs_per_second"))
      .second;
}

Reader ReadCount(absl::string_view field, int64_t most, int64_t Profile::*member) {
  return [=](Fields* fields, Profile* profile) {
    const bool first = profile->*member == 0;
    profile->*member = fields->Count(field, most);
    return first;
  };
}

bool ReadCost(absl::string_view each, Fields* fields, Profile::Cost* cost) {
  const bool first = *cost == Profile::Cost{};
  cost->seconds = fields->NotNegative("seconds");
  cost->seconds_each = fields->NotNegative(each);
  return first;
}

bool ReadShape(Fields* fields, Profile* profile) {
  const bool first = profile->heads == 0;
  profile->heads = fields->Count("heads", kMostHeads);
  profile->kv_heads = fields->Count("kv_heads", kMostHeads);
  profile->head_dim = fields->Count("head_dim", kMostHeads);
  return first;
}

const std::map<absl::string_view, Reader>& Readers() {
  static const auto& readers = *new std::map<absl::string_view, Reader>{
      {"element-bytes", ReadCount("bytes", kMostElementBytes, &Profile::element_bytes)},
      {"attention-shape", ReadShape},
      {"attention", ReadAttention},
      {"layer-parameters", ReadCount("parameters", kMostParameters, &Profile::layer_parameters)},
      {"linear",
       [](Fields* fields, Profile* profile) {
         const size_t direction = fields->Word("direction", kDirectionWords);
         return ReadTimes("tokens", fields, &profile->linear[direction]);
       }},
      {"head-parameters", ReadCount("parameters", kMostParameters, &Profile::head_parameters)},
      {"head",
       [](Fields* fields, Profile* profile) {
         const size_t direction = fields->Word("direction", kDirectionWords);
         return ReadTimes("tokens", fields, &profile->head[direction]);
       }},
      {"transfer",
       [](Fields* fields, Profile* profile) {
         const size_t link = fields->Word("link", kLinkWords);
         return ReadTimes("bytes", fields, &profile->transfer[link]);
       }},
      {"phase",
       [](Fields* fields, Profile* profile) {
         const size_t direction = fields->Word("direction", kDirectionWords);
         return ReadCost("seconds_per_byte", fields, &profile->phase[direction]);
       }},
      {"update",
       [](Fields* fields, Profile* profile) {
         return ReadCost("seconds_per_parameter", fields, &profile->update);
       }},
      {"reduce",
       [](Fields* fields, Profile* profile) {
         return ReadCost("seconds_per_parameter", fields, &profile->reduce);
       }},
  };
  return readers;
}

std::string RecordNames() {
  return absl::StrCat("name, source, ",
                      absl::StrJoin(Readers(), ", ", [](std::string* out, const auto& reader) {
                        absl::StrAppend(out, reader.first);
                      }));
}

absl::Status ReadRecord(absl::string_view line, Profile* profile) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(line, absl::MaxSplits(absl::ByAnyChar(" \t"), 1));
  const absl::string_view rest = absl::StripAsciiWhitespace(parts.second);
  if (parts.first == "name") {
    if (!profile->name.empty()) return absl::InvalidArgumentError("name: stands already");
    profile->name = std::string(rest);
    return absl::OkStatus();
  }
  if (parts.first == "source") {
    profile->sources.emplace_back(rest);
    return absl::OkStatus();
  }
  const auto reader = Readers().find(parts.first);
  if (reader == Readers().end()) return Refuse("record", parts.first, "one of " + RecordNames());
  Fields fields(absl::StrSplit(rest, absl::ByAnyChar(" \t"), absl::SkipEmpty()));
  const bool first = reader->second(&fields, profile);
  RALLY_RETURN_IF_ERROR(Annotate(fields.End(), parts.first));
  if (first) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(parts.first, ": stands already"));
}

}  // namespace

absl::StatusOr<Profile> ParseProfile(absl::string_view text) {
  Profile profile;
  int64_t number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (++number == 1) {
      if (line != kProfileVersion) {
        return Refuse("line 1", line.substr(0, 80), absl::StrCat("\"", kProfileVersion, "\""));
      }
      continue;
    }
    if (line.empty() || line.front() == '#') continue;
    RALLY_RETURN_IF_ERROR(Annotate(ReadRecord(line, &profile), absl::StrCat("line ", number)));
  }
  RALLY_RETURN_IF_ERROR(CheckProfile(profile));
  return profile;
}

}  // namespace rally
