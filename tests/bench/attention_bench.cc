#include "tests/bench/attention_bench.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/cores.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "scheduler/ca_task.h"
#include "tests/bench/libtorch_attention.h"
#include "tests/bench/peak_flops.h"
#include "tests/bench/peak_memory.h"
#include "workers/transport/buffer.h"

namespace rally::bench {
namespace {

// Seconds of calls after which a measurement is not repeated.
constexpr double kLongEnough = 15.0;

struct GridPoint {
  int64_t q_rows;
  int64_t kv_rows;
  int32_t heads;
  int32_t kv_heads;
  int64_t window;
  bool libtorch;
};

// One task each. The queries are the last rows of the keys' range, as in a document's last shard.
constexpr GridPoint kGrid[] = {
    {4096, 4096, 8, 2, 0, false}, {8192, 8192, 8, 2, 0, true},     {4096, 4096, 4, 4, 0, false},
    {128, 4096, 8, 2, 0, true},   {4096, 4096, 8, 2, 1024, false}, {1024, 1024, 8, 2, 0, false},
};

// And one batch of whole documents of one head: their lengths are those of a real collection, the
// one that arXiv 2510.18121 calls "pretrain" (quantiles from its public artefact), cut at a context
// of 4,096.
constexpr int64_t kBatchTasks = 1000;
constexpr int64_t kBatchContext = 4096;
constexpr std::pair<double, int64_t> kLengthQuantiles[] = {{0.0, 1},    {0.1, 646},   {0.25, 1606},
                                                           {0.5, 3227}, {0.75, 4832}, {1.0, 4832}};

int64_t LengthAt(double quantile) {
  size_t next = 1;
  while (kLengthQuantiles[next].first < quantile) ++next;
  const auto [q0, tokens0] = kLengthQuantiles[next - 1];
  const auto [q1, tokens1] = kLengthQuantiles[next];
  const double part = (quantile - q0) / (q1 - q0);
  const double tokens =
      static_cast<double>(tokens0) + part * static_cast<double>(tokens1 - tokens0);
  return std::min(static_cast<int64_t>(tokens), kBatchContext);
}

struct TaskRows {
  int64_t q_rows;
  int64_t kv_rows;
};

// In an order that has nothing to do with length.
std::vector<TaskRows> BatchRows() {
  constexpr int64_t kStride = 617;  // No common factor with the tasks.
  std::vector<TaskRows> rows;
  for (int64_t i = 0; i < kBatchTasks; ++i) {
    const auto place = static_cast<double>(i * kStride % kBatchTasks);
    const int64_t tokens = LengthAt((place + 0.5) / kBatchTasks);
    rows.push_back({tokens, tokens});
  }
  return rows;
}

// A batch of tasks and its rows, values in [-1, 1), the same in every run.
class Batch {
 public:
  Batch(const std::vector<TaskRows>& tasks, const AttentionShape& shape) : shape_(shape) {
    for (const TaskRows& rows : tasks) {
      q_rows_ += rows.q_rows;
      kv_rows_ += rows.kv_rows;
    }
    const int64_t q_row = int64_t{shape.heads} * shape.head_dim;
    const int64_t kv_row = int64_t{shape.kv_heads} * shape.head_dim;
    const std::vector<float*> of_queries = Make(2, q_rows_ * q_row);
    const std::vector<float*> of_keys = Make(2, kv_rows_ * kv_row);
    const std::vector<float*> of_rows = Make(2, q_rows_ * shape.heads);
    const std::vector<const std::byte*> queries = MakeElements(2, q_rows_ * q_row);
    const std::vector<const std::byte*> keys = MakeElements(2, kv_rows_ * kv_row);
    const int64_t size = ElementBytes(shape.element);
    int64_t q = 0;
    int64_t kv = 0;
    for (const TaskRows& rows : tasks) {
      tasks_.push_back({.q_rows = rows.q_rows,
                        .kv_rows = rows.kv_rows,
                        .q_position = rows.kv_rows - rows.q_rows,
                        .kv_position = 0,
                        .q = queries[0] + q * q_row * size,
                        .k = keys[0] + kv * kv_row * size,
                        .v = keys[1] + kv * kv_row * size,
                        .out = of_queries[0] + q * q_row,
                        .lse = of_rows[0] + q * shape.heads,
                        .d_out = queries[1] + q * q_row * size,
                        .delta = of_rows[1] + q * shape.heads,
                        .d_q = of_queries[1] + q * q_row,
                        .d_k = of_keys[0] + kv * kv_row,
                        .d_v = of_keys[1] + kv * kv_row});
      q += rows.q_rows;
      kv += rows.kv_rows;
    }
  }

  const AttentionShape& shape() const { return shape_; }
  const VarlenBatch& tasks() const { return tasks_; }
  int64_t q_rows() const { return q_rows_; }
  int64_t kv_rows() const { return kv_rows_; }

  double Flops(bool backward) const {
    double pairs = 0.0;
    for (const VarlenTask& task : tasks_) {
      pairs += static_cast<double>(AllowedPairs(task.q_position, task.q_position + task.q_rows, 0,
                                                task.kv_rows, shape_.mask));
    }
    return (backward ? 10.0 : 4.0) * shape_.heads * shape_.head_dim * pairs;
  }

 private:
  // Elements of the shape's kind: of the same values, cut off after a bfloat16's bits.
  std::vector<const std::byte*> MakeElements(int count, int64_t elements) {
    std::vector<const std::byte*> made;
    for (const float* values : Make(count, elements)) {
      const auto* bytes = reinterpret_cast<const std::byte*>(values);
      if (shape_.element == AttentionElement::kBfloat16) {
        buffers_.push_back(pool_.Allocate(static_cast<size_t>(elements) * sizeof(uint16_t)));
        auto* halves = reinterpret_cast<uint16_t*>(buffers_.back().data());
        for (int64_t i = 0; i < elements; ++i) {
          halves[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(values[i]) >> 16);
        }
        bytes = buffers_.back().data();
      }
      made.push_back(bytes);
    }
    return made;
  }

  std::vector<float*> Make(int count, int64_t floats) {
    std::vector<float*> made;
    for (int i = 0; i < count; ++i) {
      buffers_.push_back(pool_.Allocate(static_cast<size_t>(floats) * sizeof(float)));
      uint32_t state = 12345;
      for (float& x : buffers_.back().floats()) {
        state = state * 1664525u + 1013904223u;
        x = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      }
      made.push_back(buffers_.back().floats().data());
    }
    return made;
  }

  const AttentionShape shape_;
  int64_t q_rows_ = 0;
  int64_t kv_rows_ = 0;
  BufferPool pool_;
  std::vector<Buffer> buffers_;
  VarlenBatch tasks_;
};

struct Rates {
  double gflops;
  double peak_gflops;
  double share;
  int64_t peak_bytes;
};

class AttentionBench {
 public:
  AttentionBench(const AttentionBenchOptions& options, int32_t threads, AttentionKernel* kernel)
      : options_(options), threads_(threads), kernel_(kernel) {}

  absl::StatusOr<Rates> Measure(const Batch& batch, bool backward) const {
    const double flops = batch.Flops(backward);
    std::vector<double> rates;
    std::vector<double> peaks;
    std::vector<double> shares;
    const PeakMemory peak;
    RALLY_RETURN_IF_ERROR(Call(batch, backward).status());  // Warms up.
    const int64_t peak_bytes = peak.bytes();
    const AttentionElement element = batch.shape().element;
    double before = MeasurePeakGflops(threads_, options_.instruction_set, element);
    double spent = 0.0;
    for (int i = 0; i < options_.repeats && spent < kLongEnough; ++i) {
      RALLY_ASSIGN_OR_RETURN(const double seconds, Call(batch, backward));
      spent += seconds;
      const double after = MeasurePeakGflops(threads_, options_.instruction_set, element);
      rates.push_back(flops / seconds * 1e-9);
      peaks.push_back((before + after) / 2);
      shares.push_back(rates.back() / peaks.back());
      before = after;
    }
    return Rates{Median(rates), Median(peaks), Median(shares), peak_bytes};
  }

 private:
  // Seconds of one call, of the mean of several when one is short.
  absl::StatusOr<double> Call(const Batch& batch, bool backward) const {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    std::chrono::duration<double> took{0};
    int calls = 0;
    while (took.count() < 0.03) {
      RALLY_RETURN_IF_ERROR(backward ? kernel_->Backward(batch.shape(), batch.tasks())
                                     : kernel_->Forward(batch.shape(), batch.tasks()));
      ++calls;
      took = Clock::now() - start;
    }
    return took.count() / calls;
  }

  const AttentionBenchOptions& options_;
  const int32_t threads_;
  AttentionKernel* const kernel_;
};

nlohmann::json Describe(const Batch& batch, int32_t threads, bool backward,
                        const std::string& instruction_set, const Rates& rates) {
  const AttentionShape& shape = batch.shape();
  return {{"direction", backward ? "backward" : "forward"},
          {"tasks", batch.tasks().size()},
          {"q_rows", batch.q_rows()},
          {"kv_rows", batch.kv_rows()},
          {"heads", shape.heads},
          {"kv_heads", shape.kv_heads},
          {"head_dim", shape.head_dim},
          {"dtype", shape.element == AttentionElement::kBfloat16 ? "bfloat16" : "float32"},
          {"threads", threads},
          {"mask", shape.mask.window > 0 ? absl::StrCat("window:", shape.mask.window) : "causal"},
          {"instruction_set", instruction_set},
          {"gflops", rates.gflops},
          {"peak_gflops", rates.peak_gflops},
          {"share", rates.share},
          {"peak_bytes", rates.peak_bytes}};
}

void WriteRow(const nlohmann::json& row, std::ostream& out) {
  constexpr double kMegabyte = 1e6;
  out << absl::StreamFormat(
      "%-9s %5d %8d x %-8d %2d/%-2d %4d %-8s %-11s %2d threads %8.1f of %8.1f GFLOP/s %5.1f %% "
      "%6.1f MB",
      row["direction"].get<std::string>(), row["tasks"].get<int64_t>(),
      row["q_rows"].get<int64_t>(), row["kv_rows"].get<int64_t>(), row["heads"].get<int32_t>(),
      row["kv_heads"].get<int32_t>(), row["head_dim"].get<int32_t>(),
      row["dtype"].get<std::string>(), row["mask"].get<std::string>(),
      row["threads"].get<int32_t>(), row["gflops"].get<double>(), row["peak_gflops"].get<double>(),
      100.0 * row["share"].get<double>(), row["peak_bytes"].get<double>() / kMegabyte);
  if (row.contains("libtorch_gflops")) {
    out << absl::StreamFormat("  LibTorch %5.1f (1/%.1f) %8.1f MB",
                              row["libtorch_gflops"].get<double>(),
                              row["gflops"].get<double>() / row["libtorch_gflops"].get<double>(),
                              row["libtorch_peak_bytes"].get<double>() / kMegabyte);
  }
  out << std::endl;
}

// All rows of the table, for one kernel after the other.
class AttentionTable {
 public:
  AttentionTable(const AttentionBenchOptions& options, std::ostream& out)
      : options_(options), out_(out) {}

  absl::Status AddKernel(int32_t wanted_threads) {
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<AttentionKernel> kernel,
                           MakeCpuAttentionKernel({.threads = wanted_threads,
                                                   .instruction_set = options_.instruction_set}));
    const int32_t threads = wanted_threads > 0 ? wanted_threads : UsableCores();
    for (const AttentionElement element : options_.elements) {
      for (const int32_t head_dim : options_.head_dims) {
        RALLY_RETURN_IF_ERROR(
            AddGrid({.head_dim = head_dim, .element = element}, threads, kernel.get()));
      }
    }
    return absl::OkStatus();
  }

  const nlohmann::json& rows() const { return rows_; }

 private:
  // The grid's points for one head size and element.
  absl::Status AddGrid(AttentionShape shape, int32_t threads, AttentionKernel* kernel) {
    const bool float32 = shape.element == AttentionElement::kFloat32;
    for (const GridPoint& point : kGrid) {
      shape.heads = point.heads;
      shape.kv_heads = point.kv_heads;
      shape.mask = {point.window};
      const Batch batch({{point.q_rows, point.kv_rows}}, shape);
      RALLY_RETURN_IF_ERROR(AddRows(batch, threads, point.libtorch && float32, kernel));
    }
    shape.heads = 1;
    shape.kv_heads = 1;
    shape.mask = {};
    return AddRows(Batch(BatchRows(), shape), threads, false, kernel);
  }

  absl::Status AddRows(const Batch& batch, int32_t threads, bool libtorch,
                       AttentionKernel* kernel) {
    const AttentionBench bench(options_, threads, kernel);
    for (const bool backward : {false, true}) {
      RALLY_ASSIGN_OR_RETURN(const Rates rates, bench.Measure(batch, backward));
      nlohmann::json row = Describe(batch, threads, backward, kernel->name(), rates);
      if (libtorch && options_.libtorch) {
        RALLY_ASSIGN_OR_RETURN(const LibtorchAttentionResult result,
                               MeasureLibtorchAttention(batch.shape(), batch.q_rows(),
                                                        batch.kv_rows(), backward, threads));
        row["libtorch_gflops"] = result.gflops;
        row["libtorch_peak_bytes"] = result.peak_bytes;
      }
      if (!options_.json) WriteRow(row, out_);
      rows_.push_back(std::move(row));
    }
    return absl::OkStatus();
  }

  const AttentionBenchOptions& options_;
  std::ostream& out_;
  nlohmann::json rows_ = nlohmann::json::array();
};

}  // namespace

absl::Status RunAttentionBench(const AttentionBenchOptions& options, std::ostream& out) {
  AttentionTable table(options, out);
  for (const int32_t threads : options.threads) {
    RALLY_RETURN_IF_ERROR(table.AddKernel(threads));
  }
  if (options.json) out << table.rows().dump(2) << "\n";
  return absl::OkStatus();
}

}  // namespace rally::bench
