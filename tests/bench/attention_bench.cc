#include "tests/bench/attention_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/cores.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "tests/bench/attention_batch.h"
#include "tests/bench/libtorch_attention.h"
#include "tests/bench/peak_flops.h"
#include "tests/bench/peak_memory.h"

namespace rally::bench {
namespace {

// Seconds of calls after which a measurement is not repeated.
constexpr double kLongEnough = 15.0;
// A batch of many tasks is cut into slices that would take so long at the peak.
constexpr double kSliceSeconds = 0.5;
constexpr int kLibtorchRuns = 3;

struct GridPoint {
  int64_t q_rows;
  int64_t kv_rows;
  int32_t heads;
  int32_t kv_heads;
  int64_t window;
};

// One task each. Beside these, one batch of whole documents of one head.
constexpr GridPoint kGrid[] = {
    {4096, 4096, 8, 2, 0}, {8192, 8192, 8, 2, 0},    {4096, 4096, 4, 4, 0},
    {128, 4096, 8, 2, 0},  {4096, 4096, 8, 2, 1024}, {1024, 1024, 8, 2, 0},
};

// Medians over samples, and of LibTorch's over its runs.
struct Rates {
  int samples;
  double gflops;
  double peak_gflops;
  double share;
  int64_t peak_bytes;
  std::optional<LibtorchAttention::Result> libtorch;
  double libtorch_ratio;  // Of the kernel's rate to LibTorch's, by pairs.
};

class AttentionBench {
 public:
  AttentionBench(const AttentionBenchOptions& options, int32_t threads, AttentionKernel* kernel)
      : options_(options), threads_(threads), kernel_(kernel) {}

  // `libtorch`, of the same work, takes turns with the kernel unless it is null.
  absl::StatusOr<Rates> Measure(const AttentionBatch& batch, bool backward,
                                LibtorchAttention* libtorch) const {
    const AttentionShape& shape = batch.shape();
    const std::vector<Slice> slices = batch.Cut(backward, kSliceSeconds * 1e9 * Peak(shape));
    const PeakMemory peak;
    RALLY_RETURN_IF_ERROR(Call(shape, slices[0], backward).status());  // Warms up.
    const int64_t peak_bytes = peak.bytes();
    double before = Peak(shape);
    Samples samples;
    if (libtorch != nullptr) {
      RALLY_RETURN_IF_ERROR(libtorch->Run().status());
      before = Peak(shape);
    }
    double spent = 0.0;
    for (int i = 0; Wanted(i, slices.size(), spent, libtorch != nullptr); ++i) {
      const Slice& slice = slices[i % slices.size()];
      RALLY_ASSIGN_OR_RETURN(const double seconds, Call(shape, slice, backward));
      spent += seconds;
      const double after = Peak(shape);
      samples.rates.push_back(slice.flops / seconds * 1e-9);
      samples.peaks.push_back((before + after) / 2);
      samples.shares.push_back(samples.rates.back() / samples.peaks.back());
      before = after;
      if (libtorch == nullptr || i >= kLibtorchRuns) continue;
      RALLY_ASSIGN_OR_RETURN(const LibtorchAttention::Result result, libtorch->Run());
      samples.libtorch_rates.push_back(result.gflops);
      samples.libtorch_ratios.push_back(samples.rates.back() / result.gflops);
      samples.libtorch_peak_bytes = result.peak_bytes;
      before = Peak(shape);
    }
    return Medians(samples, peak_bytes);
  }

 private:
  struct Samples {
    std::vector<double> rates, peaks, shares, libtorch_rates, libtorch_ratios;
    int64_t libtorch_peak_bytes = 0;
  };

  static Rates Medians(const Samples& samples, int64_t peak_bytes) {
    Rates rates{.samples = static_cast<int>(samples.rates.size()),
                .gflops = Median(samples.rates),
                .peak_gflops = Median(samples.peaks),
                .share = Median(samples.shares),
                .peak_bytes = peak_bytes,
                .libtorch_ratio = Median(samples.libtorch_ratios)};
    if (!samples.libtorch_rates.empty()) {
      rates.libtorch = {Median(samples.libtorch_rates), samples.libtorch_peak_bytes};
    }
    return rates;
  }

  // Whether there is a sample `i`. Each of several slices is one.
  bool Wanted(int i, size_t slices, double spent, bool libtorch) const {
    if (slices > 1) return i < static_cast<int>(slices);
    return i < options_.repeats && (spent < kLongEnough || (libtorch && i < kLibtorchRuns));
  }

  double Peak(const AttentionShape& shape) const {
    return MeasurePeakGflops(threads_, options_.instruction_set, shape.element);
  }

  // Seconds of one call, of the mean of several when one is short.
  absl::StatusOr<double> Call(const AttentionShape& shape, const Slice& slice,
                              bool backward) const {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    std::chrono::duration<double> took{0};
    int calls = 0;
    while (took.count() < 0.03) {
      RALLY_RETURN_IF_ERROR(backward ? kernel_->Backward(shape, slice.tasks)
                                     : kernel_->Forward(shape, slice.tasks));
      ++calls;
      took = Clock::now() - start;
    }
    return took.count() / calls;
  }

  const AttentionBenchOptions& options_;
  const int32_t threads_;
  AttentionKernel* const kernel_;
};

nlohmann::json Describe(const AttentionBatch& batch, int32_t threads, bool backward,
                        const std::string& instruction_set, const Rates& rates) {
  const AttentionShape& shape = batch.shape();
  nlohmann::json row = {
      {"direction", backward ? "backward" : "forward"},
      {"tasks", batch.task_count()},
      {"q_rows", batch.q_rows()},
      {"kv_rows", batch.kv_rows()},
      {"heads", shape.heads},
      {"kv_heads", shape.kv_heads},
      {"head_dim", shape.head_dim},
      {"dtype", shape.element == AttentionElement::kBfloat16 ? "bfloat16" : "float32"},
      {"threads", threads},
      {"mask", shape.mask.window > 0 ? absl::StrCat("window:", shape.mask.window) : "causal"},
      {"instruction_set", instruction_set},
      {"samples", rates.samples},
      {"gflops", rates.gflops},
      {"peak_gflops", rates.peak_gflops},
      {"share", rates.share},
      {"peak_bytes", rates.peak_bytes},
      {"libtorch_gflops", nullptr},
      {"libtorch_ratio", nullptr},
      {"libtorch_peak_bytes", nullptr}};
  if (rates.libtorch.has_value()) {
    row["libtorch_gflops"] = rates.libtorch->gflops;
    row["libtorch_ratio"] = rates.libtorch_ratio;
    row["libtorch_peak_bytes"] = rates.libtorch->peak_bytes;
  }
  return row;
}

void WriteRow(const nlohmann::json& row, std::ostream& out) {
  constexpr double kMegabyte = 1e6;
  out << absl::StreamFormat(
      "%-9s %5d %8d x %-8d %2d/%-2d %4d %-8s %-11s %2d threads %8.1f of %8.1f GFLOP/s %5.1f %%, "
      "%3d samples %6.1f MB",
      row["direction"].get<std::string>(), row["tasks"].get<int64_t>(),
      row["q_rows"].get<int64_t>(), row["kv_rows"].get<int64_t>(), row["heads"].get<int32_t>(),
      row["kv_heads"].get<int32_t>(), row["head_dim"].get<int32_t>(),
      row["dtype"].get<std::string>(), row["mask"].get<std::string>(),
      row["threads"].get<int32_t>(), row["gflops"].get<double>(), row["peak_gflops"].get<double>(),
      100.0 * row["share"].get<double>(), row["samples"].get<int>(),
      row["peak_bytes"].get<double>() / kMegabyte);
  if (!row["libtorch_gflops"].is_null()) {
    out << absl::StreamFormat(
        "  LibTorch %5.1f (1/%.1f) %8.1f MB", row["libtorch_gflops"].get<double>(),
        row["libtorch_ratio"].get<double>(), row["libtorch_peak_bytes"].get<double>() / kMegabyte);
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
      const AttentionBatch batch({{point.q_rows, point.kv_rows}}, shape);
      RALLY_RETURN_IF_ERROR(AddRows(batch, threads, options_.libtorch && float32, kernel));
    }
    shape.heads = 1;
    shape.kv_heads = 1;
    shape.mask = {};
    return AddRows(AttentionBatch(DocumentRows(), shape), threads, false, kernel);
  }

  absl::Status AddRows(const AttentionBatch& batch, int32_t threads, bool libtorch,
                       AttentionKernel* kernel) {
    const AttentionBench bench(options_, threads, kernel);
    for (const bool backward : {false, true}) {
      std::unique_ptr<LibtorchAttention> other;
      if (libtorch) {
        RALLY_ASSIGN_OR_RETURN(other, MakeLibtorchAttention(batch.shape(), batch.q_rows(),
                                                            batch.kv_rows(), backward, threads));
      }
      RALLY_ASSIGN_OR_RETURN(const Rates rates, bench.Measure(batch, backward, other.get()));
      nlohmann::json row = Describe(batch, threads, backward, kernel->name(), rates);
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
