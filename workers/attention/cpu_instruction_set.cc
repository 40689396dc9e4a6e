#include "workers/attention/cpu_instruction_set.h"

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
  std::vector<Set> sets = {Set::kPortable};
#if defined(__x86_64__)
  __builtin_cpu_init();  // Asks the operating system too: it must save the wide registers.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return sets;
  sets.push_back(Set::kAvx2);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")) return sets;
  sets.push_back(Set::kAvx512);
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512bf16")) return sets;
  sets.push_back(Set::kAvx512Bf16);
#endif
  return sets;
}

CpuInstructionSet BestCpuInstructionSet() { return AvailableCpuInstructionSets().back(); }

}  // namespace rally
