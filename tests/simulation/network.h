// Network: what lies between the simulation's processes: sessions' streams and clients' requests.
//
// A session is two ordered streams, as gRPC's: what arrives is a prefix of what was said, and when
// the stream breaks the rest is lost; each end learns of it in its own time. Messages of different
// sessions overtake each other. A request or its answer may be lost, or the request come twice.
//
// A cut link holds back all there is on it; when it lasts, its sessions break at both ends.
//
// One thread.
#ifndef RALLY_TESTS_SIMULATION_NETWORK_H_
#define RALLY_TESTS_SIMULATION_NETWORK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

// How a connection ends for the end that did not close it.
enum class Ending : uint8_t {
  kInPeace,  // After all that was said.
  kAbrupt,   // What was under way is lost in part; learned of soon.
  kSilent,   // The same, but only a missing sign of life tells.
};

// One session's connection. Kept alive by the network while anything is under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct MemberEnd {
    std::function<void(const v1::CoordinatorMessage&)> message;
    std::function<void()> ended;
  };
  struct CoordinatorEnd {
    std::function<void(v1::MemberMessage)> message;
    std::function<void()> ended;
  };

  Connection(World* world, std::string link, const std::map<std::string, absl::Time>* cuts)
      : world_(*world), link_(std::move(link)), cuts_(*cuts) {}

  MemberEnd member;
  CoordinatorEnd coordinator;

  void Say(v1::MemberMessage message);                               // To the coordinator.
  void Tell(std::shared_ptr<const v1::CoordinatorMessage> message);  // To the member.
  void CloseAtMember(Ending ending);
  void CloseAtCoordinator(Ending ending);
  void Break(Ending ending);                                   // By the network.
  void Refuse() { member_open_ = coordinator_open_ = false; }  // Nobody is there.

  const std::string& link() const { return link_; }
  bool open() const { return member_open_ && coordinator_open_; }

 private:
  struct Stream {
    std::deque<std::function<void()>> under_way;
    absl::Time last;                          // When the youngest of them arrives.
    absl::Time cut = absl::InfiniteFuture();  // What would arrive later is lost.
  };

  void Send(Stream* stream, std::function<void()> deed);
  void Arrive(Stream* stream);
  void EndStream(Stream* stream, Ending ending, bool* open, std::function<void()>* ended);
  absl::Duration Latency();

  World& world_;
  const std::string link_;
  const std::map<std::string, absl::Time>& cuts_;  // By link: until when.
  Stream up_;
  Stream down_;
  bool member_open_ = true;
  bool coordinator_open_ = true;
};

class Network {
 public:
  explicit Network(World* world) : world_(*world) {}

  // A new connection over a member's link.
  std::shared_ptr<Connection> Connect(const std::string& link);
  bool IsCut(const std::string& link) const;
  void Cut(const std::string& link, absl::Duration time);
  // One at random breaks; false when there is none.
  bool BreakOne();

  // A client's call: `serve` runs at the coordinator, gets what to answer with.
  using Answer = std::function<void()>;
  void Request(std::function<void()> serve);
  void Respond(Answer answer);

 private:
  void Forget();

  World& world_;
  std::map<std::string, absl::Time> cuts_;
  std::vector<std::shared_ptr<Connection>> connections_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_NETWORK_H_
