#include "workers/transport/memory_exchange.h"

#include <cstring>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace rally {
namespace {

absl::Status LostPeer(int32_t peer) {
  return absl::UnavailableError(absl::StrCat("rank ", peer, " is gone"));
}

}  // namespace

void MemoryExchange::Join(std::shared_ptr<TransferLedger> ledger) {
  absl::MutexLock lock(&mutex_);
  Member& member = members_[ledger->rank()];
  member.ledger = std::move(ledger);
}

void MemoryExchange::Leave(int32_t rank) {
  std::set<std::shared_ptr<TransferLedger>> affected;
  {
    absl::MutexLock lock(&mutex_);
    members_[rank].gone = true;
    for (const auto& [key, queue] : queues_) {
      if (std::get<0>(key) != rank && std::get<1>(key) != rank) continue;
      for (const Post& post : queue.sends) affected.insert(post.ledger);
      for (const Post& post : queue.receives) affected.insert(post.ledger);
    }
  }
  for (const auto& ledger : affected) ledger->Fail(LostPeer(rank));
}

Transfer MemoryExchange::Send(int32_t rank, int32_t peer, const Tag& tag,
                              absl::Span<const std::byte> bytes, Buffer* buffer) {
  RALLY_CHECK(tag.source == rank, absl::StrCat("rank ", rank, " sends ", tag.ToString()));
  Post post;
  post.rank = rank;
  post.from = bytes.data();
  post.buffer = buffer;
  {
    absl::MutexLock lock(&mutex_);
    post.ledger = members_[rank].ledger;
  }
  post.entry = post.ledger->Open(TransferKind::kSend, peer, tag, bytes.size());
  return Begin(rank, peer, std::move(post));
}

Transfer MemoryExchange::Receive(int32_t rank, int32_t peer, const Tag& tag,
                                 absl::Span<std::byte> bytes, Buffer* buffer) {
  RALLY_CHECK(tag.source == peer, absl::StrCat("from rank ", peer, " comes ", tag.ToString()));
  Post post;
  post.rank = rank;
  post.to = bytes.data();
  post.buffer = buffer;
  {
    absl::MutexLock lock(&mutex_);
    post.ledger = members_[rank].ledger;
  }
  post.entry = post.ledger->Open(TransferKind::kReceive, peer, tag, bytes.size());
  return Begin(rank, peer, std::move(post));
}

Transfer MemoryExchange::Begin(int32_t rank, int32_t peer, Post post) {
  bool is_send = post.entry->kind == TransferKind::kSend;
  Key key = is_send ? Key(rank, peer, post.entry->tag.Encode())
                    : Key(peer, rank, post.entry->tag.Encode());
  Transfer transfer(post.entry);
  Post match;
  if (absl::Status status = Match(key, post, &match); !status.ok()) {
    post.ledger->Fail(status);
    post.ledger->CloseUnmoved(*post.entry);
  } else if (match.entry != nullptr) {
    Move(is_send ? post : match, is_send ? match : post);
  }
  return transfer;
}

absl::Status MemoryExchange::Match(const Key& key, const Post& post, Post* match) {
  bool is_send = post.entry->kind == TransferKind::kSend;
  absl::MutexLock lock(&mutex_);
  RALLY_CHECK(post.entry->peer >= 0 && post.entry->peer < static_cast<int32_t>(members_.size()),
              absl::StrCat("there is no rank ", post.entry->peer));
  // A failing ledger keeps its error before it withdraws, so nothing is filed behind its back.
  if (absl::Status status = post.ledger->status(); !status.ok()) return status;
  if (members_[post.entry->peer].gone) return LostPeer(post.entry->peer);
  auto it = queues_.try_emplace(key).first;
  std::deque<Post>& same = is_send ? it->second.sends : it->second.receives;
  std::deque<Post>& opposite = is_send ? it->second.receives : it->second.sends;
  if (opposite.empty()) {
    same.push_back(post);
    return absl::OkStatus();
  }
  *match = std::move(opposite.front());
  opposite.pop_front();
  if (opposite.empty()) queues_.erase(it);
  return absl::OkStatus();
}

void MemoryExchange::Move(const Post& send, const Post& receive) {
  if (send.entry->size == receive.entry->size) {
    if (send.rank == receive.rank && send.buffer != nullptr && receive.buffer != nullptr) {
      std::swap(*send.buffer, *receive.buffer);
    } else if (send.entry->size > 0) {
      std::memcpy(receive.to, send.from, send.entry->size);
    }
    send.ledger->CloseMoved(*send.entry);
    receive.ledger->CloseMoved(*receive.entry);
    return;
  }
  receive.ledger->Fail(absl::InvalidArgumentError(absl::StrCat(
      "a message of ", send.entry->size, " bytes came for the ", receive.entry->ToString())));
  send.ledger->CloseMoved(*send.entry);
  receive.ledger->CloseUnmoved(*receive.entry);
}

void MemoryExchange::Withdraw(int32_t rank) {
  std::vector<Post> withdrawn;
  {
    absl::MutexLock lock(&mutex_);
    for (auto it = queues_.begin(); it != queues_.end();) {
      for (std::deque<Post>* posts : {&it->second.sends, &it->second.receives}) {
        if (posts->empty() || posts->front().rank != rank) continue;
        for (Post& post : *posts) withdrawn.push_back(std::move(post));
        posts->clear();
      }
      bool empty = it->second.sends.empty() && it->second.receives.empty();
      it = empty ? queues_.erase(it) : std::next(it);
    }
  }
  for (const Post& post : withdrawn) post.ledger->CloseUnmoved(*post.entry);
}

}  // namespace rally
