#include "tests/simulation/network.h"

#include <algorithm>
#include <utility>

namespace rally::simulation {
namespace {

constexpr absl::Duration kKeepalive = absl::Seconds(20);  // Until a silent end is learned of.

// What the protocol says may be said again: see ClusterService.
bool Repeatable(const v1::MemberMessage& message) { return !message.has_hello(); }
bool Repeatable(const v1::CoordinatorMessage& message) {
  return message.has_commit() || message.has_release();
}

}  // namespace

absl::Duration Connection::Latency() {
  Random& random = world_.random;
  if (random.Chance(world_.faults.slow_message)) {
    return random.Between(absl::Milliseconds(10), absl::Seconds(3));
  }
  return random.Between(absl::Microseconds(100), absl::Milliseconds(3));
}

void Connection::Send(Stream* stream, std::function<void()> deed) {
  stream->last = std::max(stream->last, world_.timeline.now() + Latency());
  stream->under_way.push_back(std::move(deed));
  world_.timeline.At(stream->last, [self = shared_from_this(), stream] { self->Arrive(stream); });
}

// The oldest message under way: as many calls as messages, so each arrives in its turn.
void Connection::Arrive(Stream* stream) {
  const absl::Time now = world_.timeline.now();
  const auto cut = cuts_.find(link_);
  if (cut != cuts_.end() && cut->second > now && stream->cut > now) {
    world_.timeline.At(cut->second, [self = shared_from_this(), stream] { self->Arrive(stream); });
    stream->last = std::max(stream->last, cut->second);
    return;
  }
  const std::function<void()> deed = std::move(stream->under_way.front());
  stream->under_way.pop_front();
  if (now < stream->cut) deed();
}

void Connection::Say(v1::MemberMessage message) {
  if (!member_open_) return;
  if (Repeatable(message) && world_.random.Chance(world_.faults.repeat_message)) {
    world_.timeline.After(world_.random.Between(absl::ZeroDuration(), absl::Seconds(2)),
                          [self = shared_from_this(), message] {
                            if (!self->member_open_) return;
                            self->Send(&self->up_, [end = self.get(), message] {
                              if (end->coordinator_open_) end->coordinator.message(message);
                            });
                          });
  }
  Send(&up_, [this, message = std::move(message)]() mutable {
    if (coordinator_open_) coordinator.message(std::move(message));
  });
}

void Connection::Tell(std::shared_ptr<const v1::CoordinatorMessage> message) {
  if (!coordinator_open_) return;
  const auto deed = [this, message] {
    if (member_open_) member.message(*message);
  };
  if (Repeatable(*message) && world_.random.Chance(world_.faults.repeat_message)) {
    world_.timeline.After(world_.random.Between(absl::ZeroDuration(), absl::Seconds(2)),
                          [self = shared_from_this(), deed] {
                            if (self->coordinator_open_) self->Send(&self->down_, deed);
                          });
  }
  Send(&down_, deed);
}

// The sender of `stream` is gone; its receiver, whose end is `open`, has to learn.
void Connection::EndStream(Stream* stream, Ending ending, bool* open,
                           std::function<void()>* ended) {
  const auto learn = [open, ended] {
    if (!*open) return;
    *open = false;
    (*ended)();
  };
  if (ending == Ending::kInPeace) return Send(stream, learn);
  Random& random = world_.random;
  const absl::Duration lost_after =
      random.Between(absl::ZeroDuration(), absl::Milliseconds(random.Chance(0.5) ? 5 : 500));
  const absl::Duration known_after =
      ending == Ending::kAbrupt ? random.Between(absl::ZeroDuration(), absl::Milliseconds(500))
                                : random.Between(kKeepalive, 2 * kKeepalive);
  stream->cut = std::min(stream->cut, world_.timeline.now() + lost_after);
  world_.timeline.After(lost_after + known_after, [self = shared_from_this(), learn] { learn(); });
}

void Connection::CloseAtMember(Ending ending) {
  if (!member_open_) return;
  member_open_ = false;
  EndStream(&up_, ending, &coordinator_open_, &coordinator.ended);
}

void Connection::CloseAtCoordinator(Ending ending) {
  if (!coordinator_open_) return;
  coordinator_open_ = false;
  EndStream(&down_, ending, &member_open_, &member.ended);
}

void Connection::Break(Ending ending) {
  EndStream(&up_, ending, &coordinator_open_, &coordinator.ended);
  EndStream(&down_, ending, &member_open_, &member.ended);
}

std::shared_ptr<Connection> Network::Connect(const std::string& link) {
  Forget();
  connections_.push_back(std::make_shared<Connection>(&world_, link, &cuts_));
  return connections_.back();
}

void Network::Forget() {
  std::erase_if(connections_, [](const auto& connection) { return !connection->open(); });
}

bool Network::IsCut(const std::string& link) const {
  const auto cut = cuts_.find(link);
  return cut != cuts_.end() && cut->second > world_.timeline.now();
}

void Network::Cut(const std::string& link, absl::Duration time) {
  absl::Time& until = cuts_[link];
  until = std::max(until, world_.timeline.now() + time);
  if (time < kKeepalive) return;
  for (const std::shared_ptr<Connection>& connection : connections_) {
    if (connection->link() == link && connection->open()) connection->Break(Ending::kSilent);
  }
}

bool Network::BreakOne() {
  Forget();
  if (connections_.empty()) return false;
  const auto victim = world_.random.Below(static_cast<int64_t>(connections_.size()));
  world_.Note("the session of ", connections_[victim]->link(), " breaks");
  connections_[victim]->Break(world_.random.Chance(0.8) ? Ending::kAbrupt : Ending::kSilent);
  return true;
}

void Network::Request(std::function<void()> serve) {
  Random& random = world_.random;
  const auto later = [this, &random, serve](absl::Duration longest) {
    world_.timeline.After(random.Between(absl::Microseconds(100), longest), serve);
  };
  if (!random.Chance(world_.faults.lose_request)) later(absl::Milliseconds(5));
  if (random.Chance(world_.faults.repeat_request)) later(absl::Seconds(5));
}

void Network::Respond(Answer answer) {
  if (world_.random.Chance(world_.faults.lose_request)) return;
  world_.timeline.After(world_.random.Between(absl::Microseconds(100), absl::Milliseconds(5)),
                        std::move(answer));
}

}  // namespace rally::simulation
