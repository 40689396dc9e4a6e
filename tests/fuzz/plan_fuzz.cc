// Fuzzes planning: any string of bytes becomes documents, servers, weights and masks
// (tests/scheduler/random_plan_input.h); every plan must hold its properties.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "scheduler/planner.h"
#include "tests/scheduler/plan_properties.h"
#include "tests/scheduler/random_plan_input.h"

// Sanitized, a plan of thousands of documents takes half a minute; the tests make those.
constexpr int64_t kMostDocuments = 200;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const rally::test::RandomPlanInput made(data, size, kMostDocuments);
  if (made.input.topology.local()) return 0;
  const auto planned =
      rally::MakePlanner(rally::PlannerKind::kRally, made.options)->MakePlan(made.input);
  const absl::Status holds =
      planned.ok() ? rally::test::CheckProperties(made.input, made.options.tolerance, *planned)
                   : planned.status();
  if (holds.ok()) return 0;
  std::cerr << holds << "\n";
  std::abort();
}
