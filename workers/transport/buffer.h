// Buffer and BufferPool: memory that transports move.
//
// Touching fresh pages costs far more than the copy into them, so buffers come from a pool that
// maps, prefaults and keeps them across steps. Memory that is kept for sizes that are not asked for
// any more goes back to the system. Buffers say where their memory lies; only host memory exists in
// this build.
#ifndef RALLY_WORKERS_TRANSPORT_BUFFER_H_
#define RALLY_WORKERS_TRANSPORT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/types/span.h>

namespace rally {

enum class MemoryKind : uint8_t { kHost = 0 };

class BufferPool;

// A move-only lease of pooled memory, 64-byte aligned; goes back to its pool when destroyed. A
// default-constructed Buffer is empty. Must not outlive its pool.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }  // Bytes asked for.
  MemoryKind memory_kind() const { return MemoryKind::kHost; }
  absl::Span<std::byte> bytes() const { return {data_, size_}; }
  // The same memory as floats; size() must be a multiple of sizeof(float).
  absl::Span<float> floats() const;

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, std::byte* data, size_t size, size_t capacity);

  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Thread-safe. Sizes are rounded up to size classes, so a steady state allocates nothing. A buffer
// may be given a free block of up to twice its size; mapped is at most twice what was in use at
// once, of late. Running out of address space or memory is a fatal error, as it is for operator
// new.
class BufferPool {
 public:
  BufferPool();
  ~BufferPool();  // Every Buffer must have been returned.
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  Buffer Allocate(size_t bytes);

  // Bytes mapped from the system, in use or kept for reuse.
  size_t mapped_bytes() const;

 private:
  friend class Buffer;
  struct Block {
    std::byte* data;
    size_t capacity;
    uint64_t returned;  // When, counted in blocks that were returned.
  };
  // The smallest free block of that size class, or a larger one, of at most `most` bytes.
  std::optional<Block> TakeFree(size_t size_class, size_t most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes room for `bytes` to be mapped: the blocks to be unmapped.
  std::vector<Block> Shrink(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Lend(size_t capacity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Return(std::byte* data, size_t capacity);

  mutable absl::Mutex mutex_;
  std::vector<std::deque<Block>> free_ ABSL_GUARDED_BY(mutex_);  // By size class, in that order.
  size_t mapped_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;       // Of them, in use.
  size_t most_used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // At once, of late.
  uint64_t returns_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_BUFFER_H_
