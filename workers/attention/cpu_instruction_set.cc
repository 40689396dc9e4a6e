#include "workers/attention/cpu_instruction_set.h"

#include "common/cpu_features.h"

namespace rally {
namespace {

using Set = CpuInstructionSet;

constexpr struct {
  Set set;
  const char* name;
} kNames[] = {{Set::kBest, "best"},
              {Set::kPortable, "portable"},
              {Set::kAvx2, "avx2"},
              {Set::kAvx512, "avx512"},
              {Set::kAvx512Bf16, "avx512_bf16"}};

}  // namespace

const char* CpuInstructionSetName(CpuInstructionSet set) {
  for (const auto& named : kNames) {
    if (named.set == set) return named.name;
  }
  return "unknown";
}

std::optional<CpuInstructionSet> FindCpuInstructionSet(absl::string_view name) {
  for (const auto& named : kNames) {
    if (named.name == name) return named.set;
  }
  return std::nullopt;
}

std::vector<CpuInstructionSet> AvailableCpuInstructionSets() {
  const CpuFeatures features = GetCpuFeatures();
  std::vector<Set> sets = {Set::kPortable};
  if (features.avx2) sets.push_back(Set::kAvx2);
  if (features.avx512) sets.push_back(Set::kAvx512);
  if (features.avx512_bf16) sets.push_back(Set::kAvx512Bf16);
  return sets;
}

CpuInstructionSet BestCpuInstructionSet() { return AvailableCpuInstructionSets().back(); }

}  // namespace rally
