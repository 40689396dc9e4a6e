#include "workers/attention/server_phase.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rally {
namespace {

const float* Floats(const std::byte* part) { return reinterpret_cast<const float*>(part); }

}  // namespace

ServerPhase::ServerPhase(const ServerLayout* layout, const RowSizes& sizes, bool backward,
                         const std::vector<Buffer>& requests, BufferPool* pool)
    : layout_(layout),
      sizes_(sizes),
      backward_(backward),
      q_bytes_(sizes.query * ElementBytes(sizes.element)),
      kv_bytes_(sizes.keys * ElementBytes(sizes.element)) {
  for (size_t i = 0; i < layout->routes.size(); ++i) {
    const Route& route = layout->routes[i];
    request_layouts_.push_back(LayOutRequest(route, sizes, backward));
    reply_layouts_.push_back(LayOutReply(route, sizes, backward));
    requests_.push_back(requests[i].data());
    replies_.push_back(pool->Allocate(reply_layouts_.back().bytes()));
    reply_data_.push_back(replies_.back().floats().data());
    if (!backward) continue;
    // The kernel adds to the gradients of keys.
    std::fill(reply_data_.back() + reply_layouts_.back().d_k,
              reply_data_.back() + reply_layouts_.back().size, 0.0f);
  }
  keys_ = pool->Allocate(2 * layout->scratch_rows * kv_bytes_);
  if (!backward) return;
  key_gradients_ = pool->Allocate(2 * layout->scratch_rows * sizes.keys * sizeof(float));
  std::fill(key_gradients_.floats().begin(), key_gradients_.floats().end(), 0.0f);
}

ServerPhase::BlockMemory ServerPhase::InPlace(const KeySegment& segment) {
  const RequestLayout& request = request_layouts_[segment.route];
  const ReplyLayout& reply = reply_layouts_[segment.route];
  BlockMemory memory;
  memory.k = requests_[segment.route] + request.k + segment.route_row * kv_bytes_;
  memory.v = requests_[segment.route] + request.v + segment.route_row * kv_bytes_;
  if (!backward_) return memory;
  memory.d_k = reply_data_[segment.route] + reply.d_k + segment.route_row * sizes_.keys;
  memory.d_v = reply_data_[segment.route] + reply.d_v + segment.route_row * sizes_.keys;
  return memory;
}

ServerPhase::BlockMemory ServerPhase::Assemble(const KeyBlock& block) {
  std::byte* const k = keys_.data() + block.scratch_row * kv_bytes_;
  std::byte* const v = k + layout_->scratch_rows * kv_bytes_;
  for (const KeySegment& segment : block.segments) {
    const BlockMemory from = InPlace(segment);
    const int64_t offset = segment.block_row * kv_bytes_;
    std::memcpy(k + offset, from.k, segment.rows * kv_bytes_);
    std::memcpy(v + offset, from.v, segment.rows * kv_bytes_);
  }
  if (!backward_) return {k, v};
  float* const d_k = key_gradients_.floats().data() + block.scratch_row * sizes_.keys;
  return {k, v, d_k, d_k + layout_->scratch_rows * sizes_.keys};
}

void ServerPhase::ScatterGradients(const KeyBlock& block, const BlockMemory& memory) {
  for (const KeySegment& segment : block.segments) {
    const BlockMemory to = InPlace(segment);
    const int64_t offset = segment.block_row * sizes_.keys;
    std::copy_n(memory.d_k + offset, segment.rows * sizes_.keys, to.d_k);
    std::copy_n(memory.d_v + offset, segment.rows * sizes_.keys, to.d_v);
  }
}

VarlenTask ServerPhase::MakeTask(const ServerTask& server_task) {
  const CaTask& task = server_task.task;
  const std::byte* const request = requests_[server_task.route];
  float* const reply = reply_data_[server_task.route];
  const RequestLayout& in = request_layouts_[server_task.route];
  const ReplyLayout& out = reply_layouts_[server_task.route];
  const BlockMemory& block = blocks_[server_task.block];
  const int64_t query = server_task.query_row;
  const int64_t key = task.kv_begin - layout_->blocks[server_task.block].begin;
  VarlenTask made;
  made.q_rows = task.q_rows();
  made.kv_rows = task.kv_rows();
  made.q_position = task.q_begin;
  made.kv_position = task.kv_begin;
  made.q = request + in.q + query * q_bytes_;
  made.k = block.k + key * kv_bytes_;
  made.v = block.v + key * kv_bytes_;
  if (!backward_) {
    made.out = reply + out.queries + query * sizes_.query;
    made.lse = reply + out.lse + query * sizes_.heads;
    return made;
  }
  // The kernel only reads lse when backward.
  made.lse = const_cast<float*>(Floats(request + in.lse)) + query * sizes_.heads;
  made.d_out = request + in.d_out + query * q_bytes_;
  made.delta = Floats(request + in.delta) + query * sizes_.heads;
  made.d_q = reply + out.queries + query * sizes_.query;
  made.d_k = block.d_k + key * sizes_.keys;
  made.d_v = block.d_v + key * sizes_.keys;
  return made;
}

VarlenBatch ServerPhase::MakeBatch() {
  for (const KeyBlock& block : layout_->blocks) {
    blocks_.push_back(block.in_place() ? InPlace(block.segments[0]) : Assemble(block));
  }
  VarlenBatch batch;
  batch.reserve(layout_->tasks.size());
  for (const ServerTask& task : layout_->tasks) batch.push_back(MakeTask(task));
  return batch;
}

std::vector<Buffer> ServerPhase::TakeReplies() {
  if (backward_) {
    for (size_t i = 0; i < blocks_.size(); ++i) {
      if (!layout_->blocks[i].in_place()) ScatterGradients(layout_->blocks[i], blocks_[i]);
    }
  }
  return std::move(replies_);
}

}  // namespace rally
