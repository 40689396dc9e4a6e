#include "services/coordinator/placement.h"

#include <algorithm>
#include <map>

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

namespace rally {
namespace {

struct Pool {
  std::vector<const Member*> workers;  // In order of id.
  std::vector<const Member*> servers;

  bool Holds(const JobSpec& spec) const {
    return static_cast<int64_t>(workers.size()) >= spec.workers &&
           static_cast<int64_t>(servers.size()) >= spec.attention.dedicated;
  }
};

void Add(const Member& member, Pool* pool) {
  (member.role == v1::MEMBER_ROLE_MODEL ? pool->workers : pool->servers).push_back(&member);
}

std::string Shortage(absl::string_view what, int64_t needed, int64_t idle, int64_t registered) {
  return absl::StrCat("needs ", needed, " ", what, "; ", idle, " idle of ", registered,
                      " registered");
}

Placement Take(const JobSpec& spec, const Pool& pool) {
  Placement placement;
  placement.single_host = true;
  for (int32_t i = 0; i < spec.workers; ++i) placement.members.push_back(pool.workers[i]->id);
  for (int32_t i = 0; i < spec.attention.dedicated; ++i) {
    placement.members.push_back(pool.servers[i]->id);
    placement.single_host &= pool.servers[i]->host == pool.workers[0]->host;
  }
  for (int32_t i = 0; i < spec.workers; ++i) {
    placement.single_host &= pool.workers[i]->host == pool.workers[0]->host;
  }
  return placement;
}

// Not placed when these members are not enough. They are in the order in which they are preferred.
Placement Choose(const JobSpec& spec, const std::vector<const Member*>& members) {
  std::map<std::string, Pool> by_host;
  Pool everywhere;
  for (const Member* member : members) {
    Add(*member, &everywhere);
    Add(*member, &by_host[member->host]);
  }
  if (!everywhere.Holds(spec)) return {};
  for (const auto& [host, pool] : by_host) {
    if (pool.Holds(spec)) return Take(spec, pool);
  }
  return Take(spec, everywhere);
}

}  // namespace

Placement Place(const JobSpec& spec, const MemberTable& table) {
  std::vector<const Member*> idle;
  Pool everywhere;
  Pool registered;
  for (const auto& [id, member] : table.members()) {
    Add(member, &registered);
    if (!member.idle()) continue;
    Add(member, &everywhere);
    idle.push_back(&member);
  }
  std::stable_sort(idle.begin(), idle.end(),
                   [](const Member* a, const Member* b) { return a->failures < b->failures; });
  const auto failed = std::find_if(idle.begin(), idle.end(),
                                   [](const Member* member) { return member->failures > 0; });
  Placement placement = Choose(spec, {idle.begin(), failed});
  if (!placement.placed()) placement = Choose(spec, idle);
  if (placement.placed()) return placement;
  if (static_cast<int64_t>(everywhere.workers.size()) < spec.workers) {
    placement.reason = "NotEnoughWorkers";
    placement.message = Shortage("model workers", spec.workers, everywhere.workers.size(),
                                 registered.workers.size());
  } else {
    placement.reason = "NotEnoughAttentionServers";
    placement.message = Shortage("attention servers", spec.attention.dedicated,
                                 everywhere.servers.size(), registered.servers.size());
  }
  return placement;
}

bool CouldPlace(const JobSpec& spec, const MemberTable& table, const std::string& job_id,
                absl::Time lived) {
  Pool pool;
  for (const auto& [id, member] : table.members()) {
    const bool own = member.job_id == job_id && !member.releasing_since.has_value();
    const bool others = member.idle() && lived >= member.not_before;
    if (others || (own && !member.leaving)) Add(member, &pool);
  }
  return pool.Holds(spec);
}

int64_t FreeWorkers(const MemberTable& table, absl::Time lived) {
  return std::count_if(table.members().begin(), table.members().end(), [lived](const auto& entry) {
    const Member& member = entry.second;
    return member.role == v1::MEMBER_ROLE_MODEL && !member.leaving && lived >= member.not_before &&
           (member.job_id.empty() || member.releasing_since.has_value());
  });
}

}  // namespace rally
