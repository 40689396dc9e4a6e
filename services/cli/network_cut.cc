#include "services/cli/network_cut.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr char kFlag[] = "--partition";

// Names in the output of `ip -o link show up`, as in "2: eth0@if7: <BROADCAST,...".
std::vector<std::string> LinksIn(const std::string& text) {
  std::vector<std::string> links;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(": ", 2));
    if (parts.size() < 3) continue;
    const std::vector<std::string> name = absl::StrSplit(parts[1], absl::MaxSplits('@', 1));
    if (name[0] != "lo") links.push_back(name[0]);
  }
  return links;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetworkCut>> NetworkCut::Prepare(pid_t pid) {
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<ForeignNetwork> network, ForeignNetwork::Open(kFlag, pid));
  std::unique_ptr<NetworkCut> cut(new NetworkCut(std::move(network)));
  const absl::Status saved = cut->Save();
  if (!saved.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(kFlag, ": ", saved.message()));
  }
  return cut;
}

NetworkCut::~NetworkCut() { Mend().IgnoreError(); }

absl::Status NetworkCut::Save() {
  RALLY_RETURN_IF_ERROR(Ip({"-o", "link", "show", "up"}, "", "links"));
  RALLY_ASSIGN_OR_RETURN(const std::string text, network_->Read("links"));
  links_ = LinksIn(text);
  if (links_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("process ", network_->pid(), " has no link that is up"));
  }
  RALLY_RETURN_IF_ERROR(Ip({"address", "save"}, "", "addresses"));
  RALLY_RETURN_IF_ERROR(Ip({"-4", "route", "save"}, "", "routes-4"));
  routes_6_ = Ip({"-6", "route", "save"}, "", "routes-6").ok();  // A kernel may be without IPv6.
  return absl::OkStatus();
}

absl::Status NetworkCut::Harm() {
  cut_ = true;
  for (const std::string& link : links_) {
    RALLY_RETURN_IF_ERROR(Ip({"link", "set", "dev", link, "down"}, "", "log"));
  }
  return absl::OkStatus();
}

absl::Status NetworkCut::Mend() {
  if (!std::exchange(cut_, false)) return absl::OkStatus();
  absl::Status status;
  for (const std::string& link : links_) {
    status.Update(Ip({"link", "set", "dev", link, "up"}, "", "log"));
  }
  // What is there already stays; ip says so and succeeds.
  status.Update(Ip({"address", "restore"}, "addresses", "log"));
  status.Update(Ip({"-4", "route", "restore"}, "routes-4", "log"));
  if (routes_6_) status.Update(Ip({"-6", "route", "restore"}, "routes-6", "log"));
  return status;
}

absl::Status NetworkCut::Ip(std::vector<std::string> arguments, const std::string& input,
                            const std::string& output) const {
  arguments.insert(arguments.begin(), "ip");
  return network_->Run(arguments, input, output);
}

}  // namespace rally
