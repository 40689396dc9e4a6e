// PlanPicture: a plan as an SVG: a row for every server, a segment for every task of it.
//
// A segment is as wide as its task has pairs and coloured by what travels for it: nothing, keys
// and values alone, or query rows. Phases stand side by side, each as wide as its busiest server
// needs, so that blank paper is a server that waits. Two lines mark the mean and where the
// tolerance ends.
//
// Pure function, any thread.
#ifndef RALLY_SERVICES_PLANNING_PLAN_PICTURE_H_
#define RALLY_SERVICES_PLANNING_PLAN_PICTURE_H_

#include <string>

#include <absl/strings/string_view.h>

#include "scheduler/plan.h"
#include "scheduler/topology.h"

namespace rally {

// `plan` has passed CheckPlan; `title` is shown above it. `tolerance` is the one asked for.
std::string PlanPicture(const Plan& plan, const Topology& topology, AttentionMask mask,
                        double tolerance, absl::string_view title);

}  // namespace rally

#endif  // RALLY_SERVICES_PLANNING_PLAN_PICTURE_H_
