#include "services/coordinator/member_table.h"

#include <utility>

namespace rally {

Member* MemberTable::Add(Member member) {
  std::string id = member.id;
  return &members_.insert_or_assign(std::move(id), std::move(member)).first->second;
}

Member* MemberTable::Find(const std::string& id) {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second;
}

Member* MemberTable::Find(const std::string& id, SessionId session) {
  Member* member = Find(id);
  return member != nullptr && member->session == session ? member : nullptr;
}

}  // namespace rally
