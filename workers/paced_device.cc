#include "workers/paced_device.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>

#include <absl/time/clock.h>

#include "common/status_macros.h"

namespace rally {
namespace {

using Kind = Operation::Kind;

// Receives are posted this many operations ahead, so that a message need not wait for its receiver.
constexpr size_t kOperationsAhead = 64;
// Sends under way before the sender waits. Receivers are never behind by more than they post ahead,
// so the wait ends.
constexpr size_t kMostSentBytes = size_t{256} << 20;

// What every message begins with. Times are the sender's clock.
struct Stamp {
  double sent = 0.0;
  double departed = 0.0;  // When the sender's port has carried it.
  double delayed = 0.0;   // Seconds the sender waited for messages on their way before.
};

size_t Index(Direction direction) { return static_cast<size_t>(direction); }

Stamp StampOf(const Buffer& buffer) {
  Stamp stamp;
  std::memcpy(&stamp, buffer.data(), sizeof(stamp));
  return stamp;
}

}  // namespace

PacedDevice::PacedDevice(const PacedDeviceOptions& options, const Topology* topology,
                         const CostModel* costs, Transport* transport, BufferPool* pool)
    : options_(options), transport_(*transport), pool_(*pool), ports_(topology, costs) {}

void PacedDevice::Abort() {
  absl::MutexLock lock(&mutex_);
  aborted_ = true;
}

absl::StatusOr<PacedTimes> PacedDevice::Run(const PacedStep& step) {
  step_ = step;
  times_ = {};
  next_ = expected_ = 0;
  delayed_.assign(step.program->phases.size(), 0.0);
  const double start = now_ = RealTime();
  const std::vector<Operation>& operations = step.program->operations[rank()];
  while (next_ < operations.size()) {
    ExpectAhead();
    const Operation& operation = operations[next_++];
    RALLY_RETURN_IF_ERROR(Step(operation));
  }
  RALLY_RETURN_IF_ERROR(AwaitSent(0));
  RALLY_RETURN_IF_ERROR(SleepUntilNow());
  times_.total = now_ - start;
  times_.late = RealTime() - now_;
  return times_;
}

absl::Status PacedDevice::Step(const Operation& operation) {
  using Part = PhaseCosts::Part;
  const int32_t index = operation.index;
  switch (operation.kind) {
    case Kind::kCompute:
      return Work(operation.activity, operation.seconds);
    case Kind::kPack:
      return Work(operation.activity, PartSeconds(&Part::pack_seconds, index));
    case Kind::kPost:
      return Post(index);
    case Kind::kAwaitRequests:
      return Await(operation.activity, &delayed_[static_cast<size_t>(index)]);
    case Kind::kAttend:
      return Work(operation.activity, PartSeconds(&Part::attend_seconds, index));
    case Kind::kReply:
      return Reply(index);
    case Kind::kAwaitReplies:
    case Kind::kAwaitStage:
      return Await(operation.activity);
    case Kind::kMerge:
      return Work(operation.activity, PartSeconds(&Part::merge_seconds, index));
    case Kind::kSendStage:
      return SendStage(index);
    case Kind::kReduce:
      return Reduce(operation);
  }
  return absl::InternalError("an operation of no kind");
}

// ---- Time ----

double PacedDevice::RealTime() const {
  return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) / options_.time_scale;
}

absl::Time PacedDevice::DeadlineForMessages() const { return absl::Now() + options_.patience; }

double PacedDevice::PartSeconds(std::array<double, kDirections> PhaseCosts::Part::*seconds,
                                int32_t phase) const {
  return (CostsOf(phase).parts[rank()].*seconds)[Index(step_.program->phases[phase].direction)];
}

absl::Status PacedDevice::Work(Activity activity, double seconds) {
  Spend(activity, seconds);
  return SleepUntilNow();
}

void PacedDevice::Spend(Activity activity, double seconds) {
  if (seconds <= 0.0) return;
  times_.seconds[static_cast<size_t>(activity)] += seconds;
  now_ += seconds;
}

absl::Status PacedDevice::SleepUntilNow() {
  const absl::Time end = absl::UnixEpoch() + absl::Seconds(now_ * options_.time_scale);
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(&aborted_), end);
  return transport_.status();
}

// ---- Sending ----

const PhaseCosts& PacedDevice::CostsOf(int32_t phase) const {
  const PhaseRun& run = step_.program->phases[phase];
  return (*step_.costs)[run.micro_batch][run.nano_batch];
}

Tag PacedDevice::TagOf(MessageKind kind, int32_t source, int32_t index) const {
  Tag tag;
  tag.epoch = options_.epoch;
  tag.round = step_.round;
  tag.kind = kind;
  tag.source = source;
  if (kind == MessageKind::kStage || kind == MessageKind::kReduce) {
    tag.micro_batch = index % kMaxMicroBatches;
    tag.layer = index / kMaxMicroBatches;
    return tag;
  }
  const PhaseRun& run = step_.program->phases[index];
  tag.micro_batch = run.micro_batch;
  tag.layer = run.layer;
  tag.nano_batch = run.nano_batch;
  tag.backward = run.direction == Direction::kBackward;
  return tag;
}

size_t PacedDevice::SentBytes(double bytes) const {
  return std::max(sizeof(Stamp), static_cast<size_t>(std::llround(bytes * options_.message_scale)));
}

absl::Status PacedDevice::Post(int32_t phase) {
  const PhaseCosts& costs = CostsOf(phase);
  const size_t direction = Index(step_.program->phases[phase].direction);
  for (const int32_t index : costs.parts[rank()].as_home) {
    const Exchange& exchange = costs.exchanges[index];
    RALLY_RETURN_IF_ERROR(Send(exchange.server, TagOf(MessageKind::kRequest, rank(), phase),
                               exchange.request_bytes[direction], 0.0));
  }
  return absl::OkStatus();
}

absl::Status PacedDevice::Reply(int32_t phase) {
  const PhaseCosts& costs = CostsOf(phase);
  const size_t direction = Index(step_.program->phases[phase].direction);
  for (const int32_t index : costs.parts[rank()].as_server) {
    const Exchange& exchange = costs.exchanges[index];
    const double bytes = exchange.reply_bytes[direction];
    if (bytes <= 0.0) continue;
    RALLY_RETURN_IF_ERROR(Send(exchange.home, TagOf(MessageKind::kReply, rank(), phase), bytes,
                               delayed_[static_cast<size_t>(phase)]));
  }
  return absl::OkStatus();
}

absl::Status PacedDevice::SendStage(int32_t message) {
  const StageMessage& stage = step_.program->stage_messages[message];
  return Send(stage.to, TagOf(MessageKind::kStage, rank(), message), stage.bytes, 0.0);
}

absl::Status PacedDevice::Send(int32_t to, const Tag& tag, double bytes, double delayed) {
  const size_t size = SentBytes(bytes);
  const Stamp stamp = {now_, ports_.Depart(rank(), to, bytes, now_), delayed};
  Buffer buffer = pool_.Allocate(size);
  std::memcpy(buffer.data(), &stamp, sizeof(stamp));
  const Transfer transfer = transport_.Send(to, tag, buffer.bytes());
  sent_.push_back({std::move(buffer), transfer});
  sent_bytes_ += size;
  return AwaitSent(kMostSentBytes);
}

absl::Status PacedDevice::AwaitSent(size_t most_bytes) {
  while (!sent_.empty() && (most_bytes == 0 || sent_bytes_ > most_bytes)) {
    RALLY_RETURN_IF_ERROR(transport_.Wait({&sent_.front().transfer, 1}, DeadlineForMessages()));
    sent_bytes_ -= sent_.front().buffer.size();
    sent_.pop_front();
  }
  return absl::OkStatus();
}

// ---- Receiving ----

void PacedDevice::ExpectAhead() {
  const std::vector<Operation>& operations = step_.program->operations[rank()];
  const size_t end = std::min(operations.size(), next_ + kOperationsAhead);
  for (; expected_ < end; ++expected_) {
    const Kind kind = operations[expected_].kind;
    if (kind == Kind::kAwaitRequests || kind == Kind::kAwaitReplies || kind == Kind::kAwaitStage ||
        kind == Kind::kReduce) {
      inboxes_.push_back(Expect(operations[expected_]));
    }
  }
}

PacedDevice::Inbox PacedDevice::Expect(const Operation& operation) {
  Inbox inbox;
  const int32_t index = operation.index;
  if (operation.kind == Kind::kAwaitStage) {
    const StageMessage& stage = step_.program->stage_messages[index];
    AddMessage(stage.from, TagOf(MessageKind::kStage, stage.from, index), stage.bytes, &inbox);
    return inbox;
  }
  if (operation.kind == Kind::kReduce) {
    const int32_t ranks = step_.program->reduce_groups[index].ranks;
    for (int32_t other = index * ranks; other < (index + 1) * ranks; ++other) {
      if (other == rank()) continue;
      AddMessage(other, TagOf(MessageKind::kReduce, other, index), 0.0, &inbox);
    }
    return inbox;
  }
  const PhaseCosts& costs = CostsOf(index);
  const PhaseCosts::Part& part = costs.parts[rank()];
  const size_t direction = Index(step_.program->phases[index].direction);
  const bool requests = operation.kind == Kind::kAwaitRequests;
  for (const int32_t exchanged : requests ? part.as_server : part.as_home) {
    const Exchange& exchange = costs.exchanges[exchanged];
    const int32_t from = requests ? exchange.home : exchange.server;
    const double bytes =
        requests ? exchange.request_bytes[direction] : exchange.reply_bytes[direction];
    if (!requests && bytes <= 0.0) continue;
    const MessageKind kind = requests ? MessageKind::kRequest : MessageKind::kReply;
    AddMessage(from, TagOf(kind, from, index), bytes, &inbox);
  }
  return inbox;
}

void PacedDevice::AddMessage(int32_t from, const Tag& tag, double bytes, Inbox* inbox) {
  Buffer buffer = pool_.Allocate(SentBytes(bytes));
  const Transfer transfer = transport_.Receive(from, tag, buffer.bytes());
  inbox->push_back({from, bytes, std::move(buffer), transfer});
}

absl::StatusOr<PacedDevice::Inbox> PacedDevice::TakeInbox() {
  std::vector<Transfer> transfers;
  for (const Message& message : inboxes_.front()) transfers.push_back(message.transfer);
  RALLY_RETURN_IF_ERROR(transport_.Wait(transfers, DeadlineForMessages()));
  Inbox inbox = std::move(inboxes_.front());
  inboxes_.pop_front();
  std::stable_sort(inbox.begin(), inbox.end(), [](const Message& a, const Message& b) {
    return StampOf(a.buffer).sent < StampOf(b.buffer).sent;
  });
  return inbox;
}

absl::Status PacedDevice::Await(Activity waiting, double* travel) {
  RALLY_ASSIGN_OR_RETURN(const Inbox inbox, TakeInbox());
  double arrival = now_;
  Stamp last;
  for (const Message& message : inbox) {
    const Stamp stamp = StampOf(message.buffer);
    const double arrived =
        ports_.Arrive(message.from, rank(), message.bytes, stamp.sent, stamp.departed);
    if (arrived < arrival) continue;
    arrival = arrived;
    last = stamp;
  }
  const double wait = arrival - now_;
  const double at_work = std::clamp(last.sent - last.delayed - now_, 0.0, wait);
  Spend(waiting, at_work);
  Spend(waiting == Activity::kBubble ? waiting : Activity::kCommunication, wait - at_work);
  if (travel != nullptr) *travel = wait - at_work;
  return SleepUntilNow();
}

// Nobody goes on before everybody of the group has come.
absl::Status PacedDevice::Reduce(const Operation& operation) {
  const ReduceGroup& group = step_.program->reduce_groups[operation.index];
  const int32_t first = operation.index * group.ranks;
  for (int32_t other = first; other < first + group.ranks; ++other) {
    if (other == rank()) continue;
    const Tag tag = TagOf(MessageKind::kReduce, rank(), operation.index);
    RALLY_RETURN_IF_ERROR(Send(other, tag, 0.0, 0.0));
  }
  RALLY_ASSIGN_OR_RETURN(const Inbox inbox, TakeInbox());
  double all = now_;
  for (const Message& message : inbox) all = std::max(all, StampOf(message.buffer).sent);
  Spend(operation.activity, all - now_);
  return Work(Activity::kReduction, group.seconds);
}

}  // namespace rally
