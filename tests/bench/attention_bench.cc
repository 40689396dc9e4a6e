#include "tests/bench/attention_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/status_macros.h"
#include "scheduler/ca_task.h"
#include "tests/bench/median.h"
#include "tests/bench/peak_flops.h"
#include "workers/attention/thread_pool.h"

namespace rally::bench {
namespace {

struct GridPoint {
  int64_t q_rows;
  int64_t kv_rows;
  int32_t heads;
  int32_t kv_heads;
  int64_t window;
};

// The queries are the last rows of the keys' range, as in a document's last shard.
constexpr GridPoint kGrid[] = {
    {4096, 4096, 4, 4, 0}, {4096, 4096, 4, 1, 0}, {4096, 4096, 4, 4, 1024},
    {128, 4096, 8, 2, 0},  {1024, 1024, 8, 2, 0},
};

// Values in [-1, 1), the same in every run.
void Fill(std::vector<float>* tensor, int64_t size) {
  uint32_t state = 12345;
  tensor->resize(static_cast<size_t>(size));
  for (float& x : *tensor) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
  }
}

// One task's tensors.
struct Tensors {
  Tensors(const GridPoint& point, int32_t head_dim) {
    const int64_t q_size = point.q_rows * point.heads * head_dim;
    const int64_t kv_size = point.kv_rows * point.kv_heads * head_dim;
    for (auto* tensor : {&q, &out, &d_out, &d_q}) Fill(tensor, q_size);
    for (auto* tensor : {&k, &v, &d_k, &d_v}) Fill(tensor, kv_size);
    for (auto* tensor : {&lse, &delta}) Fill(tensor, point.q_rows * point.heads);
    task = {.q_rows = point.q_rows,
            .kv_rows = point.kv_rows,
            .q_position = point.kv_rows - point.q_rows,
            .kv_position = 0,
            .q = q.data(),
            .k = k.data(),
            .v = v.data(),
            .out = out.data(),
            .lse = lse.data(),
            .d_out = d_out.data(),
            .delta = delta.data(),
            .d_q = d_q.data(),
            .d_k = d_k.data(),
            .d_v = d_v.data()};
  }

  std::vector<float> q, k, v, out, lse, d_out, delta, d_q, d_k, d_v;
  VarlenTask task;
};

struct Rates {
  double gflops;
  double peak_gflops;
  double share;
};

class AttentionBench {
 public:
  AttentionBench(const AttentionBenchOptions& options, int32_t threads, AttentionKernel* kernel)
      : options_(options), threads_(threads), kernel_(kernel) {}

  absl::StatusOr<Rates> Measure(const AttentionShape& shape, const Tensors& tensors,
                                bool backward) const {
    const VarlenTask& task = tensors.task;
    const int64_t pairs =
        AllowedPairs(task.q_position, task.q_position + task.q_rows, 0, task.kv_rows, shape.mask);
    const double flops =
        (backward ? 10.0 : 4.0) * shape.heads * shape.head_dim * static_cast<double>(pairs);
    std::vector<double> rates;
    std::vector<double> peaks;
    std::vector<double> shares;
    RALLY_RETURN_IF_ERROR(Call(shape, task, backward).status());  // Warms up.
    double before = MeasurePeakGflops(threads_, options_.instruction_set);
    for (int i = 0; i < options_.repeats; ++i) {
      RALLY_ASSIGN_OR_RETURN(const double seconds, Call(shape, task, backward));
      const double after = MeasurePeakGflops(threads_, options_.instruction_set);
      rates.push_back(flops / seconds * 1e-9);
      peaks.push_back((before + after) / 2);
      shares.push_back(rates.back() / peaks.back());
      before = after;
    }
    return Rates{Median(rates), Median(peaks), Median(shares)};
  }

 private:
  // Seconds of one call, of the mean of several when one is short.
  absl::StatusOr<double> Call(const AttentionShape& shape, const VarlenTask& task,
                              bool backward) const {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    std::chrono::duration<double> took{0};
    int calls = 0;
    while (took.count() < 0.03) {
      RALLY_RETURN_IF_ERROR(backward ? kernel_->Backward(shape, {&task, 1})
                                     : kernel_->Forward(shape, {&task, 1}));
      ++calls;
      took = Clock::now() - start;
    }
    return took.count() / calls;
  }

  const AttentionBenchOptions& options_;
  const int32_t threads_;
  AttentionKernel* const kernel_;
};

nlohmann::json Describe(const GridPoint& point, const AttentionShape& shape, int32_t threads,
                        bool backward, const std::string& instruction_set, const Rates& rates) {
  return {{"direction", backward ? "backward" : "forward"},
          {"q_rows", point.q_rows},
          {"kv_rows", point.kv_rows},
          {"heads", shape.heads},
          {"kv_heads", shape.kv_heads},
          {"head_dim", shape.head_dim},
          {"dtype", "float32"},
          {"threads", threads},
          {"mask", point.window > 0 ? absl::StrCat("window:", point.window) : "causal"},
          {"instruction_set", instruction_set},
          {"gflops", rates.gflops},
          {"peak_gflops", rates.peak_gflops},
          {"share", rates.share}};
}

void WriteRow(const nlohmann::json& row, std::ostream& out) {
  out << absl::StreamFormat(
             "%-9s %6d x %-6d %2d/%-2d %4d %-12s %2d threads %8.1f of %8.1f GFLOP/s %5.1f %%\n",
             row["direction"].get<std::string>(), row["q_rows"].get<int64_t>(),
             row["kv_rows"].get<int64_t>(), row["heads"].get<int32_t>(),
             row["kv_heads"].get<int32_t>(), row["head_dim"].get<int32_t>(),
             row["mask"].get<std::string>(), row["threads"].get<int32_t>(),
             row["gflops"].get<double>(), row["peak_gflops"].get<double>(),
             100.0 * row["share"].get<double>())
      << std::flush;
}

}  // namespace

absl::Status RunAttentionBench(const AttentionBenchOptions& options, std::ostream& out) {
  nlohmann::json rows = nlohmann::json::array();
  for (const int32_t wanted : options.threads) {
    RALLY_ASSIGN_OR_RETURN(
        const std::unique_ptr<AttentionKernel> kernel,
        MakeCpuAttentionKernel({.threads = wanted, .instruction_set = options.instruction_set}));
    const int32_t threads = wanted > 0 ? wanted : ThreadPool::AvailableCores();
    const AttentionBench bench(options, threads, kernel.get());
    for (const int32_t head_dim : options.head_dims) {
      for (const GridPoint& point : kGrid) {
        const AttentionShape shape{.heads = point.heads,
                                   .kv_heads = point.kv_heads,
                                   .head_dim = head_dim,
                                   .mask = {point.window}};
        const Tensors tensors(point, head_dim);
        for (const bool backward : {false, true}) {
          RALLY_ASSIGN_OR_RETURN(const Rates rates, bench.Measure(shape, tensors, backward));
          rows.push_back(Describe(point, shape, threads, backward, kernel->name(), rates));
          if (!options.json) WriteRow(rows.back(), out);
        }
      }
    }
  }
  if (options.json) out << rows.dump(2) << "\n";
  return absl::OkStatus();
}

}  // namespace rally::bench
