// Session: the member's side of ClusterService.Session.
//
// Keeps one stream to the coordinator open: connects, says Hello, hands incoming messages to the
// handler, sends what is in the outbox and heartbeats at the interval the coordinator asks for.
// When the stream ends it connects again, with bounded exponential back-off and jitter, for as long
// as the session lives; what the outbox held for the old stream is then forgotten, since
// a run does not outlive its members' sessions.
//
// Another process that holds this member's name is waited for, as its death may not be known yet.
//
// Threads: two of its own, one that connects and reads and one that writes. The handler is called
// on the reading thread, one call at a time. Outbox and handler are borrowed and must outlive the
// session.
#ifndef RALLY_WORKERS_SESSION_H_
#define RALLY_WORKERS_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "proto/credentials.h"
#include "rally/v1/cluster.pb.h"
#include "workers/outbox.h"

namespace rally {

struct SessionOptions {
  std::string coordinator;  // "host:port"
  ClientSecurity security;
  uint64_t seed = 0;                                   // Of the back-off's jitter.
  absl::Duration connect_timeout = absl::Seconds(10);  // For a connection, and for Welcome.
  absl::Duration first_delay = absl::Milliseconds(100);
  absl::Duration longest_delay = absl::Seconds(5);
};

class SessionHandler {
 public:
  virtual ~SessionHandler() = default;

  // A new stream begins: the Hello to say on it. The outbox has been cleared.
  virtual v1::Hello Greet() = 0;
  // The coordinator has welcomed the member.
  virtual void OnWelcome() = 0;
  virtual void OnMessage(const v1::CoordinatorMessage& message) = 0;
  // The coordinator refuses this member (InvalidArgument, PermissionDenied): trying again is
  // useless, and the session does not.
  virtual void OnRefused(const absl::Status& reason) = 0;
};

class Session {
 public:
  virtual ~Session() = default;  // Stops at once when Close was not called.

  // Whether a stream is open and welcomed.
  virtual bool connected() const = 0;

  // Sends what is in the outbox, ends the stream in peace and stops; at the deadline without.
  virtual void Close(absl::Time deadline) = 0;

  // Errors of MakeChannelCredentials. Credentials that the coordinator does not know are tried
  // again, as they may be about to change on either side.
  static absl::StatusOr<std::unique_ptr<Session>> Start(const SessionOptions& options,
                                                        Outbox* outbox, SessionHandler* handler);
};

}  // namespace rally

#endif  // RALLY_WORKERS_SESSION_H_
