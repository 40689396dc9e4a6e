#include "workers/transport/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"

#ifndef MADV_POPULATE_WRITE  // Linux 5.14; older C libraries do not name it.
#define MADV_POPULATE_WRITE 23
#endif

namespace rally {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;

// Size classes are kPage and then four to each doubling, so at most a quarter of a block is unused.
// Classes are numbered upwards from 0.
struct SizeClass {
  size_t index;
  size_t capacity;
};

SizeClass ClassOf(size_t bytes) {
  if (bytes <= kPage) return {0, kPage};
  size_t power = std::bit_floor(bytes - 1);  // power < bytes <= 2 * power, power >= kPage.
  size_t step = power / 4;
  size_t quarter = (bytes - power + step - 1) / step;  // 1 to 4.
  size_t doubling = std::countr_zero(power / kPage);
  return {1 + 4 * doubling + quarter - 1, power + quarter * step};
}

void* Map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  RALLY_CHECK(memory != MAP_FAILED,
              absl::StrCat("cannot map ", bytes, " bytes: ", strerror(errno)));
  return memory;
}

// Maps `bytes` aligned to huge pages, by mapping more and giving back both ends.
std::byte* MapAlignedToHugePage(size_t bytes) {
  auto* memory = static_cast<std::byte*>(Map(bytes + kHugePage));
  size_t address = reinterpret_cast<size_t>(memory);
  size_t head = (kHugePage - address % kHugePage) % kHugePage;
  if (head > 0) munmap(memory, head);
  if (head < kHugePage) munmap(memory + head + bytes, kHugePage - head);
  return memory + head;
}

// Makes the kernel supply every page now instead of at first touch.
void Prefault(std::byte* data, size_t bytes) {
  if (madvise(data, bytes, MADV_POPULATE_WRITE) == 0) return;
  for (size_t offset = 0; offset < bytes; offset += kPage) {
    *const_cast<volatile std::byte*>(data + offset) = std::byte{0};
  }
}

std::byte* MapBlock(size_t capacity) {
  if (capacity < kHugePage) {
    auto* data = static_cast<std::byte*>(Map(capacity));
    Prefault(data, capacity);
    return data;
  }
  std::byte* data = MapAlignedToHugePage(capacity);
  madvise(data, capacity, MADV_HUGEPAGE);  // A hint: a kernel without huge pages refuses it.
  Prefault(data, capacity);
  return data;
}

}  // namespace

Buffer::Buffer(BufferPool* pool, std::byte* data, size_t size, size_t capacity)
    : pool_(pool), data_(data), size_(size), capacity_(capacity) {}

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  Buffer taken(std::move(other));
  std::swap(pool_, taken.pool_);
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  std::swap(capacity_, taken.capacity_);
  return *this;
}

Buffer::~Buffer() {
  if (pool_ != nullptr) pool_->Return(data_, capacity_);
}

absl::Span<float> Buffer::floats() const {
  RALLY_CHECK(size_ % sizeof(float) == 0,
              absl::StrCat("a buffer of ", size_, " bytes does not hold whole floats"));
  return {reinterpret_cast<float*>(data_), size_ / sizeof(float)};
}

BufferPool::BufferPool() = default;

BufferPool::~BufferPool() {
  absl::MutexLock lock(&mutex_);
  for (const std::deque<Block>& blocks : free_) {
    for (const Block& block : blocks) {
      munmap(block.data, block.capacity);
      mapped_bytes_ -= block.capacity;
    }
  }
  RALLY_CHECK(mapped_bytes_ == 0, absl::StrCat(mapped_bytes_, " bytes outlive their buffer pool"));
}

Buffer BufferPool::Allocate(size_t bytes) {
  const SizeClass size_class = ClassOf(bytes);
  std::vector<Block> surplus;
  {
    absl::MutexLock lock(&mutex_);
    const std::optional<Block> block = TakeFree(size_class.index, 2 * size_class.capacity);
    if (block.has_value()) {
      Lend(block->capacity);
      return Buffer(this, block->data, bytes, block->capacity);
    }
    Lend(size_class.capacity);
    surplus = Shrink(size_class.capacity);
    mapped_bytes_ += size_class.capacity;
  }
  // Nothing moves through them, and UCX, which may have registered them, watches munmap.
  for (const Block& block : surplus) munmap(block.data, block.capacity);
  return Buffer(this, MapBlock(size_class.capacity), bytes, size_class.capacity);
}

std::optional<BufferPool::Block> BufferPool::TakeFree(size_t size_class, size_t most) {
  for (size_t i = size_class; i < free_.size(); ++i) {
    if (free_[i].empty()) continue;
    const Block block = free_[i].back();
    if (block.capacity > most) break;
    free_[i].pop_back();
    return block;
  }
  return std::nullopt;
}

void BufferPool::Lend(size_t capacity) {
  used_bytes_ += capacity;
  most_used_bytes_ = std::max(most_used_bytes_, used_bytes_);
}

// Those that have been free for longest.
std::vector<BufferPool::Block> BufferPool::Shrink(size_t bytes) {
  // A job that needed more is forgotten after some dozens of sizes that were not there.
  most_used_bytes_ = std::max(used_bytes_, most_used_bytes_ - most_used_bytes_ / 32);
  std::vector<Block> surplus;
  while (mapped_bytes_ + bytes > 2 * most_used_bytes_) {
    std::deque<Block>* oldest = nullptr;
    for (std::deque<Block>& blocks : free_) {
      if (blocks.empty()) continue;
      if (oldest == nullptr || blocks.front().returned < oldest->front().returned) {
        oldest = &blocks;
      }
    }
    if (oldest == nullptr) break;
    surplus.push_back(oldest->front());
    mapped_bytes_ -= oldest->front().capacity;
    oldest->pop_front();
  }
  return surplus;
}

size_t BufferPool::mapped_bytes() const {
  absl::MutexLock lock(&mutex_);
  return mapped_bytes_;
}

void BufferPool::Return(std::byte* data, size_t capacity) {
  size_t index = ClassOf(capacity).index;
  absl::MutexLock lock(&mutex_);
  if (free_.size() <= index) free_.resize(index + 1);
  free_[index].push_back({data, capacity, returns_++});
  used_bytes_ -= capacity;
}

}  // namespace rally
