#include "workers/transport/ucx_message.h"

#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/types/span.h>

#include "common/status_macros.h"
#include "workers/transport/crc32c.h"

namespace rally {
namespace {

using Entry = TransferLedger::Entry;

class OutgoingMessage : public UcxMessage {
 public:
  OutgoingMessage(UcxLink* link, std::shared_ptr<Entry> entry, std::byte* data)
      : UcxMessage(link, std::move(entry), data) {}

  void Begin() override {
    const absl::Span<const std::byte> payload(data_, entry_->size);
    FrameHeader header;
    header.size = payload.size();
    header.sequence = ++link_.sent[entry_->peer];
    head_.pending = true;
    body_.pending = header.has_body();
    // The body first: it travels while its checksum is computed.
    if (header.has_body()) {
      link_.worker->Send(entry_->peer, link_.keys.BodyTag(entry_->tag, entry_->peer), payload,
                         &body_);
    } else if (!payload.empty()) {
      std::memcpy(head_bytes_->data() + kFrameHeaderBytes, data_, payload.size());
    }
    header.has_checksum = link_.checksums;
    if (header.has_checksum) header.checksum = Crc32c(payload);
    header.authenticator = link_.keys.Authenticate(header, entry_->tag, entry_->peer);
    WriteFrameHeader(header, head_bytes_->data());
    link_.worker->Send(entry_->peer, link_.keys.HeadTag(entry_->tag, entry_->peer),
                       {head_bytes_->data(), header.head_size()}, &head_);
  }

  void Resume() override {}

 private:
  void OnPart(Part* part, const absl::Status& status, size_t /*bytes*/) override {
    if (!status.ok()) Fail(Annotate(status, entry_->ToString()));
    Settle(part);
  }
};

class IncomingMessage : public UcxMessage {
 public:
  IncomingMessage(UcxLink* link, std::shared_ptr<Entry> entry, std::byte* data)
      : UcxMessage(link, std::move(entry), data), has_body_(entry_->size > kMostInline) {}

  void Begin() override {
    head_.pending = head_dropped_ = true;
    body_.pending = body_dropped_ = has_body_;
    Resume();
  }

  void Resume() override {
    const bool body = std::exchange(body_dropped_, false);
    const bool head = std::exchange(head_dropped_, false);
    // The head last: nothing is left to do when that ends the message.
    if (body) {
      link_.worker->Receive(link_.keys.BodyTag(entry_->tag, link_.rank), {data_, entry_->size},
                            &body_);
    }
    if (head) {
      link_.worker->Receive(link_.keys.HeadTag(entry_->tag, link_.rank),
                            absl::MakeSpan(*head_bytes_), &head_);
    }
  }

 private:
  void OnPart(Part* part, const absl::Status& status, size_t bytes) override {
    const bool too_long = absl::IsInvalidArgument(status);
    if (!status.ok() && !too_long) {
      Fail(Annotate(status, entry_->ToString()));
    } else if (part == &body_) {
      if (too_long || bytes != entry_->size) return Drop(part, "the body's size is wrong");
    } else {
      absl::Status believed = too_long ? absl::InvalidArgumentError("the head is too long")
                                       : BelieveHead({head_bytes_->data(), bytes});
      if (!believed.ok()) return Drop(part, std::string(believed.message()));
      TakeHead();
    }
    Settle(part);
  }

  // Reads the header; OK when the sender has the keys and has not sent it before.
  absl::Status BelieveHead(absl::Span<const std::byte> head) {
    RALLY_ASSIGN_OR_RETURN(header_, ParseFrameHeader(head));
    if (head.size() != header_.head_size()) {
      return absl::InvalidArgumentError(absl::StrCat("a head of ", head.size(), " bytes where ",
                                                     header_.head_size(), " are announced"));
    }
    if (header_.authenticator != link_.keys.Authenticate(header_, entry_->tag, link_.rank)) {
      return absl::InvalidArgumentError("the authenticator is wrong");
    }
    if (!link_.received[entry_->peer].Insert(header_.sequence)) {
      return absl::InvalidArgumentError(absl::StrCat("sequence ", header_.sequence, " came twice"));
    }
    return absl::OkStatus();
  }

  void TakeHead() {
    if (header_.size != entry_->size) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("a message of ", header_.size, " bytes came for the ", entry_->ToString())));
    }
    if (!has_body_ && entry_->size > 0) {
      std::memcpy(data_, head_bytes_->data() + kFrameHeaderBytes, entry_->size);
    }
  }

  absl::Status Examine() override {
    if (!header_.has_checksum) return absl::OkStatus();
    const uint32_t checksum = Crc32c({data_, entry_->size});
    if (checksum == header_.checksum) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("the ", entry_->ToString(), " has checksum ", checksum,
                                            " where its sender computed ", header_.checksum));
  }

  void Drop(Part* part, const std::string& why) {
    const bool first = !head_dropped_ && !body_dropped_;
    (part == &head_ ? head_dropped_ : body_dropped_) = true;
    link_.on_stranger(first ? this : nullptr, entry_->peer, why);
  }

  const bool has_body_;
  FrameHeader header_;
  // To be posted again.
  bool head_dropped_ = false;
  bool body_dropped_ = false;
};

}  // namespace

std::unique_ptr<UcxMessage> UcxMessage::Make(UcxLink* link, std::shared_ptr<Entry> entry,
                                             std::byte* data) {
  if (entry->kind == TransferKind::kSend) {
    return std::make_unique<OutgoingMessage>(link, std::move(entry), data);
  }
  return std::make_unique<IncomingMessage>(link, std::move(entry), data);
}

UcxMessage::UcxMessage(UcxLink* link, std::shared_ptr<Entry> entry, std::byte* data)
    : link_(*link), entry_(std::move(entry)), data_(data), head_(this), body_(this) {
  if (link_.spare_heads.empty()) {
    head_bytes_.reset(new UcxLink::Head);  // Left as it is: most heads are short.
  } else {
    head_bytes_ = std::move(link_.spare_heads.back());
    link_.spare_heads.pop_back();
  }
}

UcxMessage::~UcxMessage() { link_.spare_heads.push_back(std::move(head_bytes_)); }

void UcxMessage::Cancel() {
  // The message may be destroyed with the part that is pending last.
  if (head_.pending && body_.pending) link_.worker->Cancel(&body_);
  link_.worker->Cancel(head_.pending ? &head_ : &body_);
}

void UcxMessage::Fail(const absl::Status& error) {
  failed_ = true;
  link_.on_error(error);
}

void UcxMessage::Settle(Part* part) {
  part->pending = false;
  if (head_.pending || body_.pending) return;
  if (!failed_) {
    if (absl::Status status = Examine(); !status.ok()) Fail(status);
  }
  link_.on_done(this, !failed_);
}

}  // namespace rally
