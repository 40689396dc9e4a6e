#include "tests/bench/control_member.h"

#include <cstddef>
#include <utility>
#include <vector>

#include <absl/time/clock.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

namespace rally::bench {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr char kMethod[] = "/rally.v1.ClusterService/Session";
constexpr absl::Duration kHeartbeat = absl::Seconds(1);
constexpr size_t kParsedWhole = 4096;  // Bytes; longer messages are plans or carry a spec.

grpc::ByteBuffer ToBuffer(const v1::MemberMessage& message) {
  const std::string bytes = message.SerializeAsString();
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Bytes(const grpc::ByteBuffer& buffer, bool whole) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return "";
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    if (!whole && bytes.size() >= kParsedWhole) break;
  }
  return bytes;
}

// Which round the plan that `bytes` begin with is for; false when they are not a PlanMessage's.
// A member that reads whole plans is another program's work, and would take this one's time.
bool PeekPlan(const std::string& bytes, RoundName* name) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  const auto enter = [&in](int field, uint32_t* size) {
    return WireFormatLite::GetTagFieldNumber(in.ReadTag()) == field && in.ReadVarint32(size);
  };
  uint32_t size = 0;
  std::string job;
  v1::JobEpoch epoch;
  uint64_t round = 0;
  if (!enter(v1::CoordinatorMessage::kPlanFieldNumber, &size) ||
      !enter(v1::PlanMessage::kJobFieldNumber, &size) ||
      !in.ReadString(&job, static_cast<int>(size)) || !epoch.ParseFromString(job) ||
      !enter(v1::PlanMessage::kPlanFieldNumber, &size)) {
    return false;
  }
  // Round 0 is left out of the wire form.
  if (WireFormatLite::GetTagFieldNumber(in.ReadTag()) == v1::Plan::kRoundFieldNumber &&
      !in.ReadVarint64(&round)) {
    return false;
  }
  *name = {epoch.job_id(), epoch.epoch(), static_cast<int64_t>(round)};
  return true;
}

}  // namespace

ControlMember::ControlMember(const std::string& address, std::string id, v1::MemberRole role,
                             absl::Duration step, RoundTimes* times)
    : step_(step), times_(times), next_heartbeat_(absl::Now() + kHeartbeat) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  arguments.SetMaxReceiveMessageSize(-1);
  stub_ = std::make_unique<grpc::GenericStub>(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  stub_->PrepareBidiStreamingCall(&context_, kMethod, {}, this);
  v1::MemberMessage hello;
  hello.mutable_hello()->set_member_id(std::move(id));
  hello.mutable_hello()->set_role(role);
  hello.mutable_hello()->set_host("here");
  hello.mutable_hello()->set_process_id(1);
  StartRead(&incoming_);
  {
    absl::MutexLock lock(&mutex_);
    Send(hello);
  }
  StartCall();
}

ControlMember::~ControlMember() {
  context_.TryCancel();
  done_.WaitForNotification();
}

absl::Status ControlMember::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void ControlMember::Beat(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  v1::MemberMessage message;
  if (now >= next_heartbeat_) {
    message.mutable_heartbeat();
    Send(message);
    next_heartbeat_ = now + kHeartbeat;
  }
  if (now < round_end_) return;
  v1::RoundDone* done = message.mutable_round_done();
  *done->mutable_job() = job_;
  done->set_round(plans_.front());
  done->set_loss(1.0);
  times_->Done({job_.job_id(), job_.epoch(), plans_.front()});
  Send(message);
  round_end_ = absl::InfiniteFuture();
  if (worker_) return;
  plans_.pop_front();
  StartRound();
}

void ControlMember::StartRound() {
  if (!plans_.empty()) round_end_ = absl::Now() + step_;
}

void ControlMember::OnReadDone(bool ok) {
  if (!ok) return;
  {
    absl::MutexLock lock(&mutex_);
    RoundName name;
    if (incoming_.Length() > kParsedWhole && PeekPlan(Bytes(incoming_, false), &name)) {
      OnPlan(name);
    } else {
      v1::CoordinatorMessage message;
      if (message.ParseFromString(Bytes(incoming_, true))) Handle(message);
    }
  }
  incoming_.Clear();
  StartRead(&incoming_);
}

void ControlMember::Handle(const v1::CoordinatorMessage& message) {
  v1::MemberMessage answer;
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kPrepare:
      job_ = message.prepare().job();
      worker_ = message.prepare().rank() < message.prepare().spec().workers();
      plans_.clear();
      round_end_ = absl::InfiniteFuture();
      *answer.mutable_prepared()->mutable_job() = job_;
      answer.mutable_prepared()->set_transport_address(std::string(200, 'a'));
      return Send(answer);
    case v1::CoordinatorMessage::kConnect:
      *answer.mutable_ready()->mutable_job() = job_;
      return Send(answer);
    case v1::CoordinatorMessage::kPlan:
      return OnPlan({message.plan().job().job_id(), message.plan().job().epoch(),
                     message.plan().plan().round()});
    case v1::CoordinatorMessage::kCommit:
      return OnCommit(message.commit());
    case v1::CoordinatorMessage::kRelease:
      plans_.clear();
      round_end_ = absl::InfiniteFuture();
      *answer.mutable_released()->mutable_job() = message.release().job();
      return Send(answer);
    default:
      return;
  }
}

void ControlMember::OnPlan(const RoundName& name) {
  times_->GotPlan(name);
  plans_.push_back(name.round);
  if (plans_.size() == 1) StartRound();
}

void ControlMember::OnCommit(const v1::Commit& commit) {
  const RoundName name = {commit.job().job_id(), commit.job().epoch(), commit.round()};
  times_->GotCommit(name);
  v1::MemberMessage answer;
  *answer.mutable_committed()->mutable_job() = commit.job();
  answer.mutable_committed()->set_round(commit.round());
  times_->Committed(name);
  Send(answer);
  if (plans_.empty()) return;
  plans_.pop_front();
  StartRound();
}

void ControlMember::Send(const v1::MemberMessage& message) {
  if (ended_) return;
  outbox_.push_back(ToBuffer(message));
  if (outbox_.size() == 1) StartWrite(&outbox_.front());
}

void ControlMember::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  outbox_.pop_front();
  if (!ok) ended_ = true;
  if (!ended_ && !outbox_.empty()) StartWrite(&outbox_.front());
}

void ControlMember::OnDone(const grpc::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    status_ = absl::UnavailableError("a session has ended: " + status.error_message());
  }
  done_.Notify();
}

}  // namespace rally::bench
