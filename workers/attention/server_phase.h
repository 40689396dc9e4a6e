// ServerPhase: the memory of one phase on an attention server, and the batch that points into it.
//
// Reads requests where they were received and lets the kernel write into the replies; only key
// blocks that come from several homes pass through scratch memory. Layouts of messages are those of
// scheduler/message_layout.h.
//
// Used once, by one thread: construct, MakeBatch, run the kernel, TakeReplies. Requests, layout and
// pool are borrowed.
#ifndef RALLY_WORKERS_ATTENTION_SERVER_PHASE_H_
#define RALLY_WORKERS_ATTENTION_SERVER_PHASE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/message_layout.h"
#include "workers/attention/attention_kernel.h"
#include "workers/attention/server_layout.h"
#include "workers/transport/buffer.h"

namespace rally {

class ServerPhase {
 public:
  // `requests[i]` is of layout->routes[i].
  ServerPhase(const ServerLayout* layout, const RowSizes& sizes, bool backward,
              const std::vector<Buffer>& requests, BufferPool* pool);

  // One task per CA-task, in the plan's order.
  VarlenBatch MakeBatch();

  // After the kernel: by route.
  std::vector<Buffer> TakeReplies();

 private:
  // Key row 0 of a block: inputs, and gradients when backward.
  struct BlockMemory {
    const std::byte* k = nullptr;
    const std::byte* v = nullptr;
    float* d_k = nullptr;
    float* d_v = nullptr;
  };

  BlockMemory InPlace(const KeySegment& segment);
  BlockMemory Assemble(const KeyBlock& block);
  void ScatterGradients(const KeyBlock& block, const BlockMemory& memory);
  VarlenTask MakeTask(const ServerTask& task);

  const ServerLayout* const layout_;
  const RowSizes sizes_;
  const bool backward_;
  const int64_t q_bytes_;   // Of a row of q or d_out.
  const int64_t kv_bytes_;  // Of a row of k or v.
  std::vector<RequestLayout> request_layouts_;
  std::vector<ReplyLayout> reply_layouts_;
  std::vector<const std::byte*> requests_;
  std::vector<Buffer> replies_;
  std::vector<float*> reply_data_;
  // Of the assembled blocks: k, then v; when backward d_k, then d_v.
  Buffer keys_;
  Buffer key_gradients_;
  std::vector<BlockMemory> blocks_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_SERVER_PHASE_H_
