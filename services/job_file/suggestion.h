// The nearest of a few known words, for "did you mean".
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_JOB_FILE_SUGGESTION_H_
#define RALLY_SERVICES_JOB_FILE_SUGGESTION_H_

#include <string>
#include <vector>

#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace rally {

// Insertions, deletions and replacements of one letter that turn `a` into `b`.
int EditDistance(absl::string_view a, absl::string_view b);

// The first of the known words at the least distance, if that is at most a third of the word's
// length (and at least one edit is allowed); else empty.
std::string NearestWord(absl::string_view word, absl::Span<const std::string> known);

}  // namespace rally

#endif  // RALLY_SERVICES_JOB_FILE_SUGGESTION_H_
