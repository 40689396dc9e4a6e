// CpuInstructionSet: which vector instructions a CPU's attention kernel is made of.
//
// Equal sets give equal bits, on whatever machine. Free functions, any thread.
#ifndef RALLY_WORKERS_ATTENTION_CPU_INSTRUCTION_SET_H_
#define RALLY_WORKERS_ATTENTION_CPU_INSTRUCTION_SET_H_

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/strings/string_view.h>

namespace rally {

// Each as good as those before it; kAvx512Bf16 differs from kAvx512 for bfloat16 elements alone.
enum class CpuInstructionSet : uint8_t { kBest = 0, kPortable, kAvx2, kAvx512, kAvx512Bf16 };

// As flags take it and kernels report it.
const char* CpuInstructionSetName(CpuInstructionSet set);
// The set of a name; nothing when there is none of that name.
std::optional<CpuInstructionSet> FindCpuInstructionSet(absl::string_view name);
// Every name, for messages and help.
inline constexpr char kCpuInstructionSetNames[] = "best, portable, avx2, avx512 or avx512_bf16";

// What this CPU and its operating system have, without kBest; from portable to the best.
std::vector<CpuInstructionSet> AvailableCpuInstructionSets();
// The last of those: what kBest stands for.
CpuInstructionSet BestCpuInstructionSet();

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_CPU_INSTRUCTION_SET_H_
