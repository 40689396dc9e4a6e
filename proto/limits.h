// Limits of the wire that both of its ends have to agree on.
#ifndef RALLY_PROTO_LIMITS_H_
#define RALLY_PROTO_LIMITS_H_

namespace rally {

// Largest message of the API and of the control protocol. Only plans come near it.
inline constexpr int kMostMessageBytes = 64 << 20;

// Both ends of a member's session ask whether the other one still lives when nothing was heard for
// so long, and give up when there is no answer for as long again. The coordinator takes more
// frequent questions for an attack.
inline constexpr int kKeepaliveMilliseconds = 20000;

}  // namespace rally

#endif  // RALLY_PROTO_LIMITS_H_
