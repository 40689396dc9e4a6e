#include "workers/attention/attention_kernel.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/cores.h"
#include "common/status_macros.h"
#include "workers/attention/attention_check.h"
#include "workers/attention/attention_tiles.h"
#include "workers/attention/backward_schedule.h"
#include "workers/attention/thread_pool.h"

namespace rally {
namespace {

constexpr int64_t kNoWindow = int64_t{1} << 60;
constexpr size_t kHugePage = size_t{2} << 20;
// Forward tiles: rows of a panel that wastes nothing, and what queries and outputs may take of the
// second-level cache. Keys, values and scores need the rest.
constexpr int64_t kLaneStep = 64;
constexpr double kForwardCacheShare = 0.5;
constexpr int kUnitsPerThread = 4;  // At least, where tasks can be cut so far.

double SecondLevelBytes() {
  constexpr double kUsual = 1 << 20;
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);  // 0 or -1 where it is not known.
  return bytes > 0 ? static_cast<double>(bytes) : kUsual;
}

struct FreeDeleter {
  void operator()(float* p) const { std::free(p); }
};
using Workspace = std::unique_ptr<float, FreeDeleter>;

// In huge pages where the system has them: a tile fills half of the second-level cache, and small
// pages at random addresses would contend for some of its sets. Touched at once: first touches are
// slow, and must not fall into the first call.
Workspace MakeWorkspace() {
  constexpr size_t kBytes = kTileWorkspaceFloats * sizeof(float);
  constexpr size_t kSize = (kBytes + kHugePage - 1) / kHugePage * kHugePage;
  Workspace workspace(static_cast<float*>(std::aligned_alloc(kHugePage, kSize)));
  RALLY_CHECK(workspace != nullptr, "out of memory for an attention workspace");
  madvise(workspace.get(), kSize, MADV_HUGEPAGE);
  std::memset(workspace.get(), 0, kSize);
  return workspace;
}

// Query rows [row, row + rows) of some heads of one task that share a key/value head.
struct ForwardUnit {
  int32_t task;
  int32_t head;
  int32_t heads;
  int32_t row;
  int32_t rows;
};

// An instruction set's tiles, by element.
struct TileSet {
  CpuInstructionSet instruction_set;
  const AttentionTiles& float32;
  const AttentionTiles& bfloat16;
};

class CpuAttentionKernel final : public AttentionKernel {
 public:
  CpuAttentionKernel(const TileSet& tiles, int threads) : tiles_(tiles), pool_(threads) {
    for (int i = 0; i < threads; ++i) workspaces_.push_back(MakeWorkspace());
  }

  absl::Status Forward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    RALLY_RETURN_IF_ERROR(CheckForward(shape, tasks));
    CutForward(shape, tasks);
    RunUnits(forward_units_.size(), [&](size_t unit, float* workspace) {
      RunForward(shape, tasks, forward_units_[unit], workspace);
    });
    return absl::OkStatus();
  }

  absl::Status Backward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    RALLY_RETURN_IF_ERROR(CheckBackward(shape, tasks));
    schedule_.Build(shape, tasks);
    ClearUnseenQueries(shape, tasks);
    RunUnits(schedule_.units().size(), [&](size_t unit, float* workspace) {
      RunBackward(shape, tasks, schedule_.units()[unit], workspace);
    });
    return absl::OkStatus();
  }

  std::string name() const override { return CpuInstructionSetName(tiles_.instruction_set); }

 private:
  const AttentionTiles& Tiles(const AttentionShape& shape) const {
    return shape.element == AttentionElement::kBfloat16 ? tiles_.bfloat16 : tiles_.float32;
  }

  // Element `at` of a tensor of elements.
  static const void* At(const AttentionShape& shape, const void* tensor, int64_t at) {
    return static_cast<const char*>(tensor) + at * ElementBytes(shape.element);
  }

  static float Scale(const AttentionShape& shape) {
    return shape.scale != 0.0f ? shape.scale : 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  }

  // Threads take units in order, each the next one when it is free.
  template <class Body>
  void RunUnits(size_t units, Body body) {
    std::atomic<size_t> next{0};
    pool_.Run(static_cast<int64_t>(units), [&](int thread) {
      float* workspace = workspaces_[thread].get();
      for (size_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < units;) {
        body(unit, workspace);
      }
    });
  }

  // Tasks with most keys first and the rows that see most keys first, so that threads end together.
  void CutForward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) {
    order_.resize(tasks.size());
    double pairs = 0.0;
    for (size_t t = 0; t < tasks.size(); ++t) {
      order_[t] = static_cast<int32_t>(t);
      pairs += Pairs(shape, tasks[t]);
    }
    std::sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) {
      return tasks[a].kv_rows != tasks[b].kv_rows ? tasks[a].kv_rows > tasks[b].kv_rows : a < b;
    });
    const double most_pairs = pairs * shape.heads / (kUnitsPerThread * pool_.threads());
    forward_units_.clear();
    for (const int32_t t : order_) {
      CutForwardTask(shape, t, tasks[t].q_rows, ForwardLanes(shape, tasks[t], most_pairs));
    }
  }

  static double Pairs(const AttentionShape& shape, const VarlenTask& task) {
    const int64_t q_end = task.q_position + task.q_rows;
    const int64_t kv_end = task.kv_position + task.kv_rows;
    return static_cast<double>(
        AllowedPairs(task.q_position, q_end, task.kv_position, kv_end, shape.mask));
  }

  // As many as the second-level cache has room for, and no more than leave every thread its share.
  int64_t ForwardLanes(const AttentionShape& shape, const VarlenTask& task,
                       double most_pairs) const {
    const int64_t lane_bytes = 2 * shape.head_dim * static_cast<int64_t>(sizeof(float));
    double lanes = kForwardCacheShare * second_level_bytes_ / lane_bytes;
    if (pool_.threads() > 1) {
      const double pairs_of_lane = Pairs(shape, task) / std::max<int64_t>(1, task.q_rows);
      lanes = std::min(lanes, most_pairs / std::max(1.0, pairs_of_lane));
    }
    const auto steps = static_cast<int64_t>(lanes) / kLaneStep;
    return std::clamp<int64_t>(steps * kLaneStep, kLaneStep, kForwardLanes);
  }

  // As many heads to a tile as leave each enough rows to fill it.
  void CutForwardTask(const AttentionShape& shape, int32_t task, int64_t q_rows, int64_t lanes) {
    const int32_t group = shape.heads / shape.kv_heads;
    const int64_t wanted_rows = std::clamp<int64_t>(RoundRows(q_rows), kForwardRowStep, kLaneStep);
    const int32_t together = static_cast<int32_t>(std::min<int64_t>(group, lanes / wanted_rows));
    for (int32_t head = 0; head < shape.heads;) {
      const int32_t heads = std::min(together, group - head % group);
      CutHeads({.task = task, .head = head, .heads = heads}, q_rows, lanes);
      head += heads;
    }
  }

  // Full tiles from the end; the first rows of a task make up a shorter one, or share a full one
  // when little would be left.
  void CutHeads(ForwardUnit unit, int64_t q_rows, int64_t lanes) {
    const int64_t full = lanes / unit.heads / kForwardRowStep * kForwardRowStep;
    for (int64_t end = q_rows; end > 0; end -= unit.rows) {
      unit.rows = static_cast<int32_t>(std::min(end, full));
      const int64_t left = end - unit.rows;
      if (left > 0 && left <= full / 3) unit.rows = static_cast<int32_t>(RoundRows(full * 2 / 3));
      unit.row = static_cast<int32_t>(end - unit.rows);
      forward_units_.push_back(unit);
    }
  }

  static int64_t RoundRows(int64_t rows) {
    return (rows + kForwardRowStep - 1) / kForwardRowStep * kForwardRowStep;
  }

  void RunForward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks,
                  const ForwardUnit& unit, float* workspace) const {
    const VarlenTask& task = tasks[unit.task];
    const int64_t head_dim = shape.head_dim;
    const int64_t q_stride = shape.heads * head_dim;
    const int64_t q_at = unit.row * q_stride + unit.head * head_dim;
    const int64_t kv_at = unit.head / (shape.heads / shape.kv_heads) * head_dim;
    const int64_t window = shape.mask.window > 0 ? shape.mask.window : kNoWindow;
    Tiles(shape).forward({.q = At(shape, task.q, q_at),
                          .out = task.out + q_at,
                          .lse = task.lse + int64_t{unit.row} * shape.heads + unit.head,
                          .k = At(shape, task.k, kv_at),
                          .v = At(shape, task.v, kv_at),
                          .q_stride = q_stride,
                          .lse_stride = shape.heads,
                          .kv_stride = shape.kv_heads * head_dim,
                          .keys = task.kv_rows,
                          .rows = unit.rows,
                          .heads = unit.heads,
                          .head_dim = shape.head_dim,
                          .scale = Scale(shape),
                          .mask = {.diagonal = unit.row + task.q_position - task.kv_position,
                                   .window = std::min(window, kNoWindow)},
                          .workspace = workspace});
  }

  // Query blocks that see no key at all belong to no unit.
  void ClearUnseenQueries(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) const {
    const int64_t row_size = int64_t{shape.heads} * shape.head_dim;
    for (const VarlenTask& task : tasks) {
      for (int64_t row = 0; row < task.q_rows; row += schedule_.block()) {
        const BlockRange keys = schedule_.KeyBlocks(task, row / schedule_.block());
        if (keys.begin < keys.end) continue;
        const int64_t rows = std::min<int64_t>(schedule_.block(), task.q_rows - row);
        std::fill_n(task.d_q + row * row_size, rows * row_size, 0.0f);
      }
    }
  }

  void RunBackward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks,
                   const BackwardUnit& unit, float* workspace) {
    const VarlenTask& task = tasks[unit.task];
    const int64_t kv_stride = int64_t{shape.kv_heads} * shape.head_dim;
    const int64_t first_key = int64_t{unit.key_block} * schedule_.block();
    const int64_t kv_at = first_key * kv_stride + int64_t{unit.kv_head} * shape.head_dim;
    const int64_t keys_left = task.kv_rows - first_key;
    const BackwardKeys keys{
        .k = At(shape, task.k, kv_at),
        .v = At(shape, task.v, kv_at),
        .d_k = task.d_k + kv_at,
        .d_v = task.d_v + kv_at,
        .kv_stride = kv_stride,
        .keys = static_cast<int32_t>(std::min<int64_t>(schedule_.block(), keys_left)),
        .head_dim = shape.head_dim,
        .scale = Scale(shape),
        .workspace = workspace};
    Tiles(shape).begin_keys(keys);
    const int32_t group = shape.heads / shape.kv_heads;
    for (int32_t head = unit.kv_head * group; head < (unit.kv_head + 1) * group; ++head) {
      AddHead(shape, task, unit, head, keys);
    }
    schedule_.AwaitKeyTurn(unit);
    Tiles(shape).end_keys(keys);
    schedule_.EndKeyTurn(unit);
  }

  // One query head's part of a unit.
  void AddHead(const AttentionShape& shape, const VarlenTask& task, const BackwardUnit& unit,
               int32_t head, const BackwardKeys& keys) {
    const BlockRange blocks = schedule_.QueryBlocks(task, unit.key_block);
    const int64_t q_stride = int64_t{shape.heads} * shape.head_dim;
    const int64_t first_key = int64_t{unit.key_block} * schedule_.block();
    TileMask mask = schedule_.mask(task);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      const int64_t row = block * schedule_.block();
      const int64_t q_at = row * q_stride + int64_t{head} * shape.head_dim;
      const int64_t lse_at = row * shape.heads + head;
      const BackwardQueries queries{
          .q = At(shape, task.q, q_at),
          .d_out = At(shape, task.d_out, q_at),
          .d_q = task.d_q + q_at,
          .lse = task.lse + lse_at,
          .delta = task.delta + lse_at,
          .q_stride = q_stride,
          .lse_stride = shape.heads,
          .rows = static_cast<int32_t>(std::min<int64_t>(schedule_.block(), task.q_rows - row)),
          .first = unit.key_block == schedule_.KeyBlocks(task, block).begin,
          .mask = {.diagonal = mask.diagonal + row - first_key, .window = mask.window}};
      Tiles(shape).add_queries(keys, queries);
      schedule_.AwaitQueryTurn(unit, task, head, block);
      Tiles(shape).add_query_gradient(keys, queries);
      schedule_.EndQueryTurn(unit, head, block);
    }
  }

  const TileSet tiles_;
  ThreadPool pool_;
  const double second_level_bytes_ = SecondLevelBytes();
  std::vector<Workspace> workspaces_;  // [threads]
  std::vector<ForwardUnit> forward_units_;
  std::vector<int32_t> order_;  // Scratch of CutForward.
  BackwardSchedule schedule_;
};

TileSet TilesFor(CpuInstructionSet set) {
#if defined(__x86_64__)
  using Set = CpuInstructionSet;
  if (set == Set::kAvx512Bf16) return {set, kAvx512Tiles[0], kAvx512Bf16Tiles};
  if (set == Set::kAvx512) return {set, kAvx512Tiles[0], kAvx512Tiles[1]};
  if (set == Set::kAvx2) return {set, kAvx2Tiles[0], kAvx2Tiles[1]};
#endif
  return {set, kPortableTiles[0], kPortableTiles[1]};
}

}  // namespace

absl::StatusOr<std::unique_ptr<AttentionKernel>> MakeCpuAttentionKernel(
    const CpuKernelOptions& options) {
  if (options.threads < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "threads: ", options.threads, ", must be positive, or 0 for one per available core"));
  }
  const std::vector<CpuInstructionSet> available = AvailableCpuInstructionSets();
  CpuInstructionSet set = options.instruction_set;
  if (set == CpuInstructionSet::kBest) set = available.back();
  if (std::find(available.begin(), available.end(), set) == available.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(CpuInstructionSetName(set), " is not among what this CPU has: ",
                     absl::StrJoin(available, ", ", [](std::string* out, CpuInstructionSet has) {
                       out->append(CpuInstructionSetName(has));
                     })));
  }
  const int threads = options.threads > 0 ? options.threads : UsableCores();
  return std::make_unique<CpuAttentionKernel>(TilesFor(set), threads);
}

}  // namespace rally
