#include "tests/model/lost_reply.h"

#include <string>
#include <utility>

namespace rally::testing {
namespace {

class LosingTransport final : public Transport {
 public:
  LosingTransport(const LostReply& lost, std::unique_ptr<Transport> base)
      : lost_(lost), base_(std::move(base)) {}

  int32_t rank() const override { return base_->rank(); }
  int32_t ranks() const override { return base_->ranks(); }
  std::string address() const override { return base_->address(); }
  absl::Status Connect(absl::Span<const std::string> addresses, absl::string_view secret) override {
    return base_->Connect(addresses, secret);
  }
  Transfer Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) override {
    Tag sent = tag;
    if (IsLost(peer, tag)) ++sent.round;  // Nobody receives that.
    return base_->Send(peer, sent, bytes);
  }
  Transfer Receive(int32_t peer, const Tag& tag, absl::Span<std::byte> bytes) override {
    return base_->Receive(peer, tag, bytes);
  }
  absl::Status Wait(absl::Span<const Transfer> transfers, absl::Time deadline) override {
    return base_->Wait(transfers, deadline);
  }
  bool AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) override {
    return base_->AwaitUntil(transfers, time);
  }
  void Abort(const absl::Status& error) override { base_->Abort(error); }
  absl::Status status() const override { return base_->status(); }
  TransportCounters counters() const override { return base_->counters(); }

 private:
  bool IsLost(int32_t peer, const Tag& tag) const {
    const Phase phase = {tag.micro_batch, tag.layer, tag.nano_batch,
                         tag.backward ? Direction::kBackward : Direction::kForward};
    return tag.kind == MessageKind::kReply && peer == lost_.home && phase == lost_.phase;
  }

  const LostReply lost_;
  const std::unique_ptr<Transport> base_;
};

}  // namespace

std::unique_ptr<Transport> MakeTransportThatLoses(const LostReply& lost,
                                                  std::unique_ptr<Transport> base) {
  return std::make_unique<LosingTransport>(lost, std::move(base));
}

}  // namespace rally::testing
