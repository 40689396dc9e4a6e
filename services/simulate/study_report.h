// StudyReport: the rows of a study as text, JSON and CSV.
//
// Pure functions; any thread.
#ifndef RALLY_SERVICES_SIMULATE_STUDY_REPORT_H_
#define RALLY_SERVICES_SIMULATE_STUDY_REPORT_H_

#include <string>

#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "services/simulate/study.h"

namespace rally {

// A table for people, and below it why rows are missing.
std::string StudyTable(absl::Span<const StudyRow> rows, absl::string_view baseline);

// An array of an object per row; see docs/simulate.md.
std::string StudyJson(absl::Span<const StudyRow> rows, absl::string_view baseline);

// The same fields, one line a row after a heading.
std::string StudyCsv(absl::Span<const StudyRow> rows, absl::string_view baseline);

}  // namespace rally

#endif  // RALLY_SERVICES_SIMULATE_STUDY_REPORT_H_
