#include "services/cli/packet_loss.h"

#include <unistd.h>

#include <cmath>
#include <cstdint>

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr char kFlag[] = "--drop";
constexpr int64_t kParts = 100000;  // One of these is the least that can be lost.

// Packets that come and those that go are lost alike.
std::string RulesOf(absl::string_view table, int64_t parts) {
  const std::string lose =
      absl::StrCat("numgen random mod ", kParts, " < ", parts, " counter drop");
  return absl::StrCat("table inet ", table, " {\n  chain come {\n",
                      "    type filter hook input priority 0;\n    iifname != \"lo\" ", lose,
                      "\n  }\n  chain go {\n",
                      "    type filter hook output priority 0;\n    oifname != \"lo\" ", lose,
                      "\n  }\n}\n");
}

}  // namespace

absl::StatusOr<std::unique_ptr<PacketLoss>> PacketLoss::Prepare(pid_t pid, double percent) {
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<ForeignNetwork> network, ForeignNetwork::Open(kFlag, pid));
  const std::string table = absl::StrCat("rally_chaos_", getpid());
  const auto parts = static_cast<int64_t>(std::ceil(percent / 100.0 * kParts));
  RALLY_RETURN_IF_ERROR(network->Write("rules", RulesOf(table, parts)));
  const absl::Status checked = network->Run({"nft", "--check", "--file", "-"}, "rules", "log");
  if (!checked.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(kFlag, ": ", checked.message()));
  }
  return std::unique_ptr<PacketLoss>(new PacketLoss(std::move(network), table));
}

PacketLoss::~PacketLoss() { Mend().IgnoreError(); }

absl::Status PacketLoss::Harm() {
  loses_ = true;
  return network_->Run({"nft", "--file", "-"}, "rules", "log");
}

absl::Status PacketLoss::Mend() {
  if (!std::exchange(loses_, false)) return absl::OkStatus();
  return network_->Run({"nft", "delete", "table", "inet", table_}, "", "log");
}

}  // namespace rally
