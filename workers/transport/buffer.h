// Buffer and BufferPool: memory that transports move.
//
// Touching fresh pages costs far more than the copy into them, so buffers come from a pool that
// maps, prefaults and keeps them across steps. Buffers say where their memory lies; only host
// memory exists in this build.
#ifndef RALLY_WORKERS_TRANSPORT_BUFFER_H_
#define RALLY_WORKERS_TRANSPORT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
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

// Thread-safe. Sizes are rounded up to size classes, so a steady state allocates nothing. Running
// out of address space or memory is a fatal error, as it is for operator new.
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
  };
  void Return(std::byte* data, size_t capacity);

  mutable absl::Mutex mutex_;
  std::vector<std::vector<Block>> free_ ABSL_GUARDED_BY(mutex_);  // By size class.
  size_t mapped_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_BUFFER_H_
