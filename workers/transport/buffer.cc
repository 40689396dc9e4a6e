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
  for (const std::vector<Block>& blocks : free_) {
    for (const Block& block : blocks) {
      munmap(block.data, block.capacity);
      mapped_bytes_ -= block.capacity;
    }
  }
  RALLY_CHECK(mapped_bytes_ == 0, absl::StrCat(mapped_bytes_, " bytes outlive their buffer pool"));
}

Buffer BufferPool::Allocate(size_t bytes) {
  SizeClass size_class = ClassOf(bytes);
  {
    absl::MutexLock lock(&mutex_);
    if (size_class.index < free_.size() && !free_[size_class.index].empty()) {
      Block block = free_[size_class.index].back();
      free_[size_class.index].pop_back();
      return Buffer(this, block.data, bytes, block.capacity);
    }
    mapped_bytes_ += size_class.capacity;
  }
  return Buffer(this, MapBlock(size_class.capacity), bytes, size_class.capacity);
}

size_t BufferPool::mapped_bytes() const {
  absl::MutexLock lock(&mutex_);
  return mapped_bytes_;
}

void BufferPool::Return(std::byte* data, size_t capacity) {
  size_t index = ClassOf(capacity).index;
  absl::MutexLock lock(&mutex_);
  if (free_.size() <= index) free_.resize(index + 1);
  free_[index].push_back({data, capacity});
}

}  // namespace rally
