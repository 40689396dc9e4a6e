// Tag: the 64-bit name of one message, unique within a job's epoch.
//
// Layout, most significant first: epoch 10 bits, round 18, micro-batch 10, layer 10, nano-batch 1,
// direction 1, kind 2, source rank 12. Epoch and round wrap: a tag names a message among those that
// can be in flight at once (at most two rounds of two epochs), not for all time.
#ifndef RALLY_WORKERS_TRANSPORT_TAG_H_
#define RALLY_WORKERS_TRANSPORT_TAG_H_

#include <cstdint>
#include <string>

namespace rally {

// kStage and kReduce are those of paced jobs: activations between pipeline stages, and the meeting
// that stands for a reduction. Their micro-batch and layer count messages and groups.
enum class MessageKind : uint8_t { kRequest = 0, kReply = 1, kStage = 2, kReduce = 3 };

struct Tag {
  uint32_t epoch = 0;
  int64_t round = 0;
  int32_t micro_batch = 0;  // [0, 1024)
  int32_t layer = 0;        // [0, 1024)
  int32_t nano_batch = 0;   // 0 or 1
  bool backward = false;
  MessageKind kind = MessageKind::kRequest;
  int32_t source = 0;  // Sending rank, [0, 4096)

  uint64_t Encode() const;
  // For logs and error messages: "epoch 1 round 7 micro-batch 0 layer 3 ping forward request from
  // 2".
  std::string ToString() const;
};

inline constexpr int kMaxRanks = 4096;
inline constexpr int kMaxLayers = 1024;
inline constexpr int kMaxMicroBatches = 1024;

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_TAG_H_
