// Fuzzes files of planner cases: any text is refused with an error that names the file, or gives
// cases that fill their chunks.
#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/strings/match.h>

#include "services/planning/planner_case.h"
#include "tests/fuzz/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using rally::test::FuzzCheck;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto cases = rally::ParsePlannerCases(text, "cases.json");
  if (!cases.ok()) {
    FuzzCheck(absl::StartsWith(cases.status().message(), "cases.json:"),
              "an error names the file: " + std::string(cases.status().message()));
    return 0;
  }
  for (const rally::PlannerCase& one : *cases) {
    int64_t tokens = 0;
    for (const auto& group : one.batch.groups) {
      for (const rally::Document& document : group) tokens += document.tokens;
    }
    FuzzCheck(tokens == one.shape.chunk_tokens * one.servers, "documents fill the chunks");
  }
  return 0;
}
