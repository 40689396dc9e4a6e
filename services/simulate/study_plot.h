// StudyPlot: the rows of a study as an SVG picture.
//
// Pure function; any thread.
#ifndef RALLY_SERVICES_SIMULATE_STUDY_PLOT_H_
#define RALLY_SERVICES_SIMULATE_STUDY_PLOT_H_

#include <string>

#include <absl/types/span.h>

#include "services/simulate/study.h"

namespace rally {

// A panel for each setting, model, distribution and context; in it thousand tokens per second and
// GPU over the number of GPUs, a line for each planner.
std::string StudyPlot(absl::Span<const StudyRow> rows);

}  // namespace rally

#endif  // RALLY_SERVICES_SIMULATE_STUDY_PLOT_H_
