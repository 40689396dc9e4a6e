#include "workers/attention/server_phase.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rally {
namespace {

void CopyRows(const float* from, int64_t rows, int64_t width, float* to) {
  std::memcpy(to, from, static_cast<size_t>(rows * width) * sizeof(float));
}

}  // namespace

RequestParts RequestLayout(const Route& route, const ModelShape& shape, bool backward) {
  const int64_t queries = route.query_rows * shape.heads * shape.head_dim;
  const int64_t keys = route.kv_rows * shape.kv_heads * shape.head_dim;
  const int64_t row_values = route.query_rows * shape.heads;
  RequestParts parts;
  parts.k = queries;
  parts.v = parts.k + keys;
  parts.d_out = parts.v + keys;
  parts.lse = parts.d_out + (backward ? queries : 0);
  parts.delta = parts.lse + (backward ? row_values : 0);
  parts.size = parts.delta + (backward ? row_values : 0);
  return parts;
}

ReplyParts ReplyLayout(const Route& route, const ModelShape& shape, bool backward) {
  const int64_t keys = route.kv_rows * shape.kv_heads * shape.head_dim;
  ReplyParts parts;
  parts.lse = route.query_rows * shape.heads * shape.head_dim;
  parts.d_k = parts.lse + (backward ? 0 : route.query_rows * shape.heads);
  parts.d_v = parts.d_k + (backward ? keys : 0);
  parts.size = parts.d_v + (backward ? keys : 0);
  return parts;
}

ServerPhase::ServerPhase(const ServerLayout* layout, const ModelShape& shape, bool backward,
                         const std::vector<Buffer>& requests, BufferPool* pool)
    : layout_(layout),
      backward_(backward),
      heads_(shape.heads),
      q_width_(shape.heads * shape.head_dim),
      kv_width_(shape.kv_heads * shape.head_dim) {
  for (size_t i = 0; i < layout->routes.size(); ++i) {
    const Route& route = layout->routes[i];
    request_parts_.push_back(RequestLayout(route, shape, backward));
    reply_parts_.push_back(ReplyLayout(route, shape, backward));
    requests_.push_back(requests[i].floats().data());
    replies_.push_back(pool->Allocate(reply_parts_.back().size * sizeof(float)));
    reply_data_.push_back(replies_.back().floats().data());
    if (!backward) continue;
    // The kernel adds to the gradients of keys.
    std::fill(reply_data_.back() + reply_parts_.back().d_k,
              reply_data_.back() + reply_parts_.back().size, 0.0f);
  }
  const int64_t scratch = layout->scratch_rows * kv_width_;
  scratch_ = pool->Allocate((backward ? 4 : 2) * scratch * sizeof(float));
  if (backward) std::fill_n(scratch_.floats().begin() + 2 * scratch, 2 * scratch, 0.0f);
}

ServerPhase::BlockMemory ServerPhase::InPlace(const KeySegment& segment) {
  const int64_t offset = segment.route_row * kv_width_;
  const RequestParts& request = request_parts_[segment.route];
  const ReplyParts& reply = reply_parts_[segment.route];
  BlockMemory memory;
  memory.k = requests_[segment.route] + request.k + offset;
  memory.v = requests_[segment.route] + request.v + offset;
  if (!backward_) return memory;
  memory.d_k = reply_data_[segment.route] + reply.d_k + offset;
  memory.d_v = reply_data_[segment.route] + reply.d_v + offset;
  return memory;
}

ServerPhase::BlockMemory ServerPhase::Assemble(const KeyBlock& block) {
  const int64_t part = layout_->scratch_rows * kv_width_;  // Floats of each of k, v, d_k, d_v.
  float* const k = scratch_.floats().data() + block.scratch_row * kv_width_;
  for (const KeySegment& segment : block.segments) {
    const BlockMemory from = InPlace(segment);
    CopyRows(from.k, segment.rows, kv_width_, k + segment.block_row * kv_width_);
    CopyRows(from.v, segment.rows, kv_width_, k + part + segment.block_row * kv_width_);
  }
  if (!backward_) return {k, k + part};
  return {k, k + part, k + 2 * part, k + 3 * part};
}

void ServerPhase::ScatterGradients(const KeyBlock& block, const BlockMemory& memory) {
  for (const KeySegment& segment : block.segments) {
    const BlockMemory to = InPlace(segment);
    const int64_t offset = segment.block_row * kv_width_;
    CopyRows(memory.d_k + offset, segment.rows, kv_width_, to.d_k);
    CopyRows(memory.d_v + offset, segment.rows, kv_width_, to.d_v);
  }
}

VarlenTask ServerPhase::MakeTask(const ServerTask& server_task) {
  const CaTask& task = server_task.task;
  const float* const request = requests_[server_task.route];
  float* const reply = reply_data_[server_task.route];
  const RequestParts& in = request_parts_[server_task.route];
  const ReplyParts& out = reply_parts_[server_task.route];
  const BlockMemory& block = blocks_[server_task.block];
  const int64_t q_offset = server_task.query_row * q_width_;
  const int64_t lse_offset = server_task.query_row * heads_;
  const int64_t kv_offset = (task.kv_begin - layout_->blocks[server_task.block].begin) * kv_width_;
  VarlenTask made;
  made.q_rows = task.q_rows();
  made.kv_rows = task.kv_rows();
  made.q_position = task.q_begin;
  made.kv_position = task.kv_begin;
  made.q = request + in.q + q_offset;
  made.k = block.k + kv_offset;
  made.v = block.v + kv_offset;
  if (!backward_) {
    made.out = reply + out.queries + q_offset;
    made.lse = reply + out.lse + lse_offset;
    return made;
  }
  // The kernel only reads lse when backward.
  made.lse = const_cast<float*>(request + in.lse + lse_offset);
  made.d_out = request + in.d_out + q_offset;
  made.delta = request + in.delta + lse_offset;
  made.d_q = reply + out.queries + q_offset;
  made.d_k = block.d_k + kv_offset;
  made.d_v = block.d_v + kv_offset;
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
