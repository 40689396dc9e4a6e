// Fuzzes profiles: any text is refused, or gives a cost model that formats into the same profile
// and whose times are numbers that do not fall below zero.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "scheduler/cost_model.h"
#include "tests/fuzz/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using rally::test::FuzzCheck;
  const auto costs =
      rally::CostModel::Parse(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!costs.ok()) return 0;
  const auto again = rally::CostModel::Parse(costs->Format());
  FuzzCheck(again.ok(), "a formatted profile parses: " + again.status().ToString());
  FuzzCheck(again->profile() == costs->profile(), "the profile stays");
  const rally::ModelShape model;
  for (const rally::Direction direction :
       {rally::Direction::kForward, rally::Direction::kBackward}) {
    for (const int64_t tokens : {1, 128, 65536, 4194304}) {
      const rally::CaTask task = {0, 0, tokens, 0, tokens, 0};
      const double bytes = static_cast<double>(tokens) * 512.0;
      for (const double seconds :
           {costs->TaskSeconds(model, direction, task), costs->PhaseSeconds(direction, bytes),
            costs->LinearSeconds(model, direction, tokens),
            costs->HeadSeconds(model, direction, tokens),
            costs->TransferSeconds(rally::LinkClass::kSameNode, bytes),
            costs->UpdateSeconds(tokens), costs->ReduceSeconds(tokens, 8)}) {
        FuzzCheck(!std::isnan(seconds) && seconds >= 0.0, "a time is a number of at least 0");
      }
    }
  }
  return 0;
}
