#include "workers/model/phase_messages.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "workers/model/parallel_for.h"

namespace rally {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

constexpr int64_t kThreadBytes = kThreadGrain * static_cast<int64_t>(sizeof(float));

// Copies rows [row, row + rows) of `from`, of `width` bytes each, to `*to` and moves `*to` past
// them.
void AppendRows(const void* from, int64_t row, int64_t rows, int64_t width, std::byte** to) {
  const std::byte* first = static_cast<const std::byte*>(from) + row * width;
  ParallelFor(rows * width, kThreadBytes, [&](int64_t begin, int64_t end) {
    std::memcpy(*to + begin, first + begin, static_cast<size_t>(end - begin));
  });
  *to += rows * width;
}

// Adds rows at `*from` to rows [row, row + rows) of `to`, and moves `*from` past them.
void AddRows(const float** from, int64_t row, int64_t rows, int64_t width, float* to) {
  float* sum = to + row * width;
  ParallelFor(rows * width, kThreadGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sum[i] += (*from)[i];
  });
  *from += rows * width;
}

void Fill(float* to, int64_t count, float value) {
  ParallelFor(count, kThreadGrain,
              [&](int64_t begin, int64_t end) { std::fill(to + begin, to + end, value); });
}

// One task's part of the output, inside a reply.
struct Part {
  int32_t task = 0;
  const HomeRows* rows = nullptr;
  const float* out = nullptr;
  const float* lse = nullptr;
};

std::vector<Part> PartsInTaskOrder(absl::Span<const Route* const> routes, const RowSizes& sizes,
                                   absl::Span<const absl::Span<const float>> replies) {
  std::vector<Part> parts;
  for (size_t r = 0; r < routes.size(); ++r) {
    const Route& route = *routes[r];
    const ReplyLayout layout = LayOutReply(route, sizes, /*backward=*/false);
    const float* out = replies[r].data() + layout.queries;
    const float* lse = replies[r].data() + layout.lse;
    for (size_t i = 0; i < route.queries.size(); ++i) {
      const HomeRows& rows = route.queries[i];
      parts.push_back({route.tasks[i], &rows, out, lse});
      out += rows.rows() * sizes.query;
      lse += rows.rows() * sizes.heads;
    }
  }
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.task < b.task; });
  return parts;
}

// Merges one head of one row into what is there already.
void MergeHead(const float* part, float part_lse, int64_t head_dim, float* out, float* lse) {
  if (part_lse == kNegativeInfinity) return;
  if (*lse == kNegativeInfinity) {
    std::memcpy(out, part, static_cast<size_t>(head_dim) * sizeof(float));
    *lse = part_lse;
    return;
  }
  const float largest = std::max(*lse, part_lse);
  const float old_weight = std::exp(*lse - largest);
  const float part_weight = std::exp(part_lse - largest);
  const float sum = old_weight + part_weight;
  const float old_share = old_weight / sum;
  const float part_share = part_weight / sum;
  for (int64_t h = 0; h < head_dim; ++h) out[h] = old_share * out[h] + part_share * part[h];
  *lse = largest + std::log(sum);
}

}  // namespace

void PackRequest(const Route& route, const RowSizes& sizes, bool backward, const HomeInputs& inputs,
                 absl::Span<std::byte> message) {
  const RequestLayout layout = LayOutRequest(route, sizes, backward);
  const int64_t element = ElementBytes(sizes.element);
  const auto pack_queries = [&](const void* from, int64_t width, int64_t at) {
    std::byte* to = message.data() + at;
    for (const HomeRows& rows : route.queries) AppendRows(from, rows.row, rows.rows(), width, &to);
  };
  const auto pack_keys = [&](const std::array<const void*, kNanoBatches>& from, int64_t at) {
    std::byte* to = message.data() + at;
    for (const HomeRows& rows : route.keys) {
      AppendRows(from[rows.nano_batch], rows.row, rows.rows(), sizes.keys * element, &to);
    }
  };
  pack_queries(inputs.q_TNH, sizes.query * element, layout.q);
  pack_keys(inputs.k_TMH, layout.k);
  pack_keys(inputs.v_TMH, layout.v);
  if (!backward) return;
  pack_queries(inputs.d_out_TNH, sizes.query * element, layout.d_out);
  pack_queries(inputs.lse_TN, sizes.heads * sizeof(float), layout.lse);
  pack_queries(inputs.delta_TN, sizes.heads * sizeof(float), layout.delta);
}

void MergeReplies(absl::Span<const Route* const> routes, const RowSizes& sizes,
                  absl::Span<const absl::Span<const float>> replies, int64_t tokens, float* out_TNH,
                  float* lse_TN) {
  Fill(out_TNH, tokens * sizes.query, 0.0f);
  Fill(lse_TN, tokens * sizes.heads, kNegativeInfinity);
  const int64_t head_dim = sizes.query / sizes.heads;
  for (const Part& part : PartsInTaskOrder(routes, sizes, replies)) {
    float* out = out_TNH + part.rows->row * sizes.query;
    float* lse = lse_TN + part.rows->row * sizes.heads;
    const int64_t heads = part.rows->rows() * sizes.heads;
    const int64_t grain = std::max<int64_t>(1, kThreadGrain / head_dim);
    ParallelFor(heads, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        MergeHead(part.out + i * head_dim, part.lse[i], head_dim, out + i * head_dim, lse + i);
      }
    });
  }
}

void AddGradients(const Route& route, const RowSizes& sizes, absl::Span<const float> reply,
                  const HomeGradients& gradients) {
  const ReplyLayout layout = LayOutReply(route, sizes, /*backward=*/true);
  const auto add_keys = [&](int64_t at, const std::array<float*, kNanoBatches>& to) {
    const float* from = reply.data() + at;
    for (const HomeRows& rows : route.keys) {
      AddRows(&from, rows.row, rows.rows(), sizes.keys, to[rows.nano_batch]);
    }
  };
  const float* queries = reply.data() + layout.queries;
  for (const HomeRows& rows : route.queries) {
    AddRows(&queries, rows.row, rows.rows(), sizes.query, gradients.d_q_TNH);
  }
  add_keys(layout.d_k, gradients.d_k_TMH);
  add_keys(layout.d_v, gradients.d_v_TMH);
}

}  // namespace rally
