#include "workers/transport/ucx_transport.h"

#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>

#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "workers/transport/memory_exchange.h"
#include "workers/transport/transfer_ledger.h"
#include "workers/transport/ucx_address.h"
#include "workers/transport/ucx_message.h"
#include "workers/transport/ucx_worker.h"

namespace rally {
namespace {

// A net below UCX's wake-up; nothing depends on it.
constexpr absl::Duration kLongestSleep = absl::Seconds(1);
// How long UCX may take to finish what it has under way, once the transport has ended.
constexpr absl::Duration kLongestClose = absl::Milliseconds(300);

absl::Status LostPeer(int32_t peer) {
  return absl::UnavailableError(absl::StrCat("rank ", peer, " is gone"));
}

// Callers queue posts; the progress thread alone calls UCX, so no caller ever waits for it. After
// a failure that thread destroys the UCX worker, and only then closes the transfers that it could
// not cancel: nothing writes to a buffer once Wait has returned.
class UcxTransport : public Transport {
 public:
  explicit UcxTransport(const UcxOptions& options)
      : rank_(options.rank),
        ranks_(options.ranks),
        exchange_(options.ranks),
        ledger_(std::make_shared<TransferLedger>(options.rank, [this]() { OnFailure(); })) {
    exchange_.Join(ledger_);
  }
  ~UcxTransport() override;

  absl::Status Start(const UcxOptions& options);

  int32_t rank() const override { return rank_; }
  int32_t ranks() const override { return ranks_; }
  std::string address() const override { return address_; }
  absl::Status Connect(absl::Span<const std::string> addresses, absl::string_view secret) override;
  Transfer Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) override;
  Transfer Receive(int32_t peer, const Tag& tag, absl::Span<std::byte> bytes) override;
  Transfer SendBuffer(int32_t peer, const Tag& tag, Buffer* buffer) override;
  Transfer ReceiveBuffer(int32_t peer, const Tag& tag, Buffer* buffer) override;
  absl::Status Wait(absl::Span<const Transfer> transfers, absl::Time deadline) override {
    return ledger_->Wait(transfers, deadline);
  }
  bool AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) override {
    return ledger_->AwaitUntil(transfers, time);
  }
  void Abort(const absl::Status& error) override { ledger_->Fail(error); }
  absl::Status status() const override { return ledger_->status(); }
  TransportCounters counters() const override { return ledger_->counters(); }

 private:
  struct Post {
    std::shared_ptr<TransferLedger::Entry> entry;
    std::byte* data;  // Only read for sends.
  };
  absl::Status Destroyed() const {
    return absl::CancelledError(absl::StrCat("rank ", rank_, "'s transport is destroyed"));
  }
  // UCX's own addresses of all ranks.
  absl::StatusOr<std::vector<std::string>> ReadAddresses(
      absl::Span<const std::string> addresses) const;
  void OnFailure();
  void OnLostPeer(int32_t peer);
  Transfer Enqueue(TransferKind kind, int32_t peer, const Tag& tag, std::byte* data, size_t size);
  void Run();
  // Takes what callers have queued. False when it is time to stop.
  bool TakePosts(std::vector<Post>* posts);
  void Begin(Post post);
  void Finish(UcxMessage* message, bool moved);
  void OnStranger(UcxMessage* message, int32_t peer, const std::string& why);
  // Asks UCX again for messages in whose place a stranger's came.
  void ResumeMessages();
  void SleepUnlessPosted();
  void TearDown();

  const int32_t rank_;
  const int32_t ranks_;
  std::string address_;
  MemoryExchange exchange_;  // For messages to this rank itself.
  const std::shared_ptr<TransferLedger> ledger_;

  absl::Mutex mutex_;
  std::vector<Post> posts_ ABSL_GUARDED_BY(mutex_);
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;  // Takes no more posts.
  bool sleeping_ ABSL_GUARDED_BY(mutex_) = false;  // Needs a signal to notice anything.

  // Connect's, then the progress thread's alone; Signal is for anybody who sees sleeping_.
  std::unique_ptr<UcxWorker> worker_;
  UcxLink link_;
  std::unordered_map<UcxMessage*, std::unique_ptr<UcxMessage>> pending_;
  std::vector<UcxMessage*> to_resume_;
  std::set<int32_t> lost_peers_;
  std::set<int32_t> impersonated_peers_;
  std::thread progress_;
};

absl::Status UcxTransport::Start(const UcxOptions& options) {
  RALLY_ASSIGN_OR_RETURN(worker_,
                         UcxWorker::Create(options, [this](int32_t peer) { OnLostPeer(peer); }));
  UcxAddress address = {.rank = rank_, .ranks = ranks_, .worker = worker_->address()};
  RALLY_ASSIGN_OR_RETURN(address.nonce, MakeNonce());
  address_ = address.Encode();
  link_.rank = rank_;
  link_.checksums = options.checksums;
  link_.worker = worker_.get();
  link_.sent.resize(ranks_);
  link_.received.resize(ranks_);
  link_.on_error = [this](const absl::Status& error) { ledger_->Fail(error); };
  link_.on_done = [this](UcxMessage* message, bool moved) { Finish(message, moved); };
  link_.on_stranger = [this](UcxMessage* message, int32_t peer, const std::string& why) {
    OnStranger(message, peer, why);
  };
  return absl::OkStatus();
}

UcxTransport::~UcxTransport() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (sleeping_) worker_->Signal();
  }
  if (progress_.joinable()) {
    progress_.join();
  } else if (worker_ != nullptr) {
    worker_->Close(/*flush=*/false, kLongestClose);
  }
  ledger_->Fail(Destroyed());
  ledger_->AwaitAllClosed();
}

absl::StatusOr<std::vector<std::string>> UcxTransport::ReadAddresses(
    absl::Span<const std::string> addresses) const {
  std::vector<std::string> workers;
  for (int32_t peer = 0; peer < ranks_; ++peer) {
    const std::string who = absl::StrCat("rank ", peer);
    if (addresses[peer].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(who, " has no address"));
    }
    absl::StatusOr<UcxAddress> address = ParseUcxAddress(addresses[peer]);
    if (!address.ok()) return Annotate(address.status(), who);
    if (address->rank != peer || address->ranks != ranks_) {
      return absl::InvalidArgumentError(absl::StrCat(
          who, " of ", ranks_, " has the address of rank ", address->rank, " of ", address->ranks));
    }
    workers.push_back(std::move(address->worker));
  }
  if (addresses[rank_] != address_) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank_, ", this one, has another address than it gave"));
  }
  return workers;
}

absl::Status UcxTransport::Connect(absl::Span<const std::string> addresses,
                                   absl::string_view secret) {
  RALLY_CHECK(static_cast<int32_t>(addresses.size()) == ranks_,
              absl::StrCat(addresses.size(), " addresses for ", ranks_, " ranks"));
  RALLY_CHECK(!progress_.joinable(), "a transport is connected once");
  RALLY_RETURN_IF_ERROR(status());
  if (!secret.empty() && secret.size() < kLeastSecret) {
    return absl::InvalidArgumentError(absl::StrCat("the epoch's secret has ", secret.size(),
                                                   " bytes, not none or at least ", kLeastSecret));
  }
  std::vector<std::string> workers;
  RALLY_ASSIGN_OR_RETURN(workers, ReadAddresses(addresses));
  link_.keys = FrameKeys(secret, addresses);
  if (absl::Status status = worker_->Connect(workers, rank_); !status.ok()) {
    ledger_->Fail(status);
    return status;
  }
  {
    absl::MutexLock lock(&mutex_);
    connected_ = true;
  }
  progress_ = std::thread([this]() { Run(); });
  return status();
}

void UcxTransport::OnFailure() {
  exchange_.Withdraw(rank_);
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  if (sleeping_) worker_->Signal();
}

void UcxTransport::OnLostPeer(int32_t peer) {
  lost_peers_.insert(peer);
  for (const auto& [message, owned] : pending_) {
    if (message->entry().peer == peer) return ledger_->Fail(LostPeer(peer));
  }
}

Transfer UcxTransport::Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) {
  if (peer == rank_) return exchange_.Send(rank_, peer, tag, bytes);
  RALLY_CHECK(tag.source == rank_, absl::StrCat("rank ", rank_, " sends ", tag.ToString()));
  return Enqueue(TransferKind::kSend, peer, tag, const_cast<std::byte*>(bytes.data()),
                 bytes.size());
}

Transfer UcxTransport::Receive(int32_t peer, const Tag& tag, absl::Span<std::byte> bytes) {
  if (peer == rank_) return exchange_.Receive(rank_, peer, tag, bytes);
  RALLY_CHECK(tag.source == peer, absl::StrCat("from rank ", peer, " comes ", tag.ToString()));
  return Enqueue(TransferKind::kReceive, peer, tag, bytes.data(), bytes.size());
}

Transfer UcxTransport::SendBuffer(int32_t peer, const Tag& tag, Buffer* buffer) {
  if (peer == rank_) return exchange_.Send(rank_, peer, tag, buffer->bytes(), buffer);
  return Send(peer, tag, buffer->bytes());
}

Transfer UcxTransport::ReceiveBuffer(int32_t peer, const Tag& tag, Buffer* buffer) {
  if (peer == rank_) return exchange_.Receive(rank_, peer, tag, buffer->bytes(), buffer);
  return Receive(peer, tag, buffer->bytes());
}

Transfer UcxTransport::Enqueue(TransferKind kind, int32_t peer, const Tag& tag, std::byte* data,
                               size_t size) {
  RALLY_CHECK(peer >= 0 && peer < ranks_, absl::StrCat("there is no rank ", peer));
  std::shared_ptr<TransferLedger::Entry> entry = ledger_->Open(kind, peer, tag, size);
  {
    absl::MutexLock lock(&mutex_);
    RALLY_CHECK(connected_ || stopping_, "traffic begins after Connect");
    if (!stopping_) {
      posts_.push_back({entry, data});
      if (sleeping_) worker_->Signal();
      return Transfer(std::move(entry));
    }
  }
  ledger_->CloseUnmoved(*entry);
  return Transfer(std::move(entry));
}

void UcxTransport::Run() {
  std::vector<Post> posts;
  while (TakePosts(&posts)) {
    for (Post& post : posts) Begin(std::move(post));
    posts.clear();
    ResumeMessages();
    if (!worker_->Progress() && to_resume_.empty()) SleepUnlessPosted();
  }
  TearDown();
}

bool UcxTransport::TakePosts(std::vector<Post>* posts) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return false;
  posts->swap(posts_);
  return true;
}

void UcxTransport::Begin(Post post) {
  const int32_t peer = post.entry->peer;
  std::unique_ptr<UcxMessage> owned = UcxMessage::Make(&link_, std::move(post.entry), post.data);
  UcxMessage* message = owned.get();
  pending_.emplace(message, std::move(owned));
  message->Begin();
  // What a lost peer sent before can still be received, and nothing else.
  if (lost_peers_.contains(peer) && pending_.contains(message)) ledger_->Fail(LostPeer(peer));
}

void UcxTransport::Finish(UcxMessage* message, bool moved) {
  if (moved) {
    ledger_->CloseMoved(message->entry());
  } else {
    ledger_->CloseUnmoved(message->entry());
  }
  pending_.erase(message);
}

void UcxTransport::OnStranger(UcxMessage* message, int32_t peer, const std::string& why) {
  ledger_->CountStranger();
  if (impersonated_peers_.insert(peer).second) {
    RALLY_LOG_WARN("rank {} drops messages that pretend to come from rank {}: {}", rank_, peer,
                   why);
  }
  if (message != nullptr) to_resume_.push_back(message);
}

void UcxTransport::ResumeMessages() {
  std::vector<UcxMessage*> messages;
  messages.swap(to_resume_);
  for (UcxMessage* message : messages) message->Resume();
}

void UcxTransport::SleepUnlessPosted() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_ || !posts_.empty()) return;
    sleeping_ = true;
  }
  worker_->Sleep(kLongestSleep);
  absl::MutexLock lock(&mutex_);
  sleeping_ = false;
}

void UcxTransport::TearDown() {
  bool healthy = pending_.empty() && ledger_->status().ok();
  if (!healthy) ledger_->Fail(Destroyed());
  std::vector<UcxMessage*> messages;
  for (auto& [message, owned] : pending_) messages.push_back(message);
  for (UcxMessage* message : messages) message->Cancel();
  worker_->Close(/*flush=*/healthy, kLongestClose);
  worker_.reset();
  for (auto& [message, owned] : pending_) ledger_->CloseUnmoved(message->entry());
  pending_.clear();
  std::vector<Post> queued;
  {
    absl::MutexLock lock(&mutex_);
    queued.swap(posts_);
  }
  for (const Post& post : queued) ledger_->CloseUnmoved(*post.entry);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> MakeUcxTransport(const UcxOptions& options) {
  auto transport = std::make_unique<UcxTransport>(options);
  RALLY_RETURN_IF_ERROR(transport->Start(options));
  return transport;
}

}  // namespace rally
