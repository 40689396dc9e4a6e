// The forward tile: query rows of one or several heads against all their keys, softmax on the way.
//
// Queries lie in the lanes: scores are S^T [keys, queries] and outputs O^T [H, queries], so that
// the row maximum, sum and rescaling are lane-wise, and only Q and O are transposed. A tile's rows
// are cut into panels of C vectors, heads that share keys side by side; each block of keys is
// brought together once and passes over every panel while it is in the cache. Exponents are in
// units of log 2: the scale times log2(e) is applied to queries as they are laid out, or, where
// they would be rounded, as scores turn into probabilities. Along the diagonal keys go in steps of
// one vector, and every step leaves out the vectors before it.
//
// Included only by attention_tiles_*.cc (see vector_portable.h).
#ifndef RALLY_WORKERS_ATTENTION_FORWARD_TILE_H_
#define RALLY_WORKERS_ATTENTION_FORWARD_TILE_H_

#include <cstdint>

#include "workers/attention/attention_tiles.h"
#include "workers/attention/exp2_polynomial.h"
#include "workers/attention/forward_epilogue.h"
#include "workers/attention/forward_keys.h"
#include "workers/attention/tile_product.h"

namespace rally {

// Query rows side by side in the lanes, and their running softmax.
struct ForwardPanel {
  int32_t head;     // In the tile.
  int32_t row;      // First row in the tile.
  int32_t rows;     // Rows that exist; the lanes past them compute on zeros.
  int32_t vectors;  // C
  float* q;         // [units of H, C vectors]
  float* out;       // [H, C vectors], not yet divided by sum
  float* max;       // [C vectors] of unscaled scores, -infinity before the first allowed key
  float* sum;       // [C vectors] of exp2(scale * (score - max))
};

// `Element` is that of q, k and v.
template <class V, class Element>
class ForwardTileRun {
  using Reg = typename V::Reg;
  static constexpr int kMaxPanels = kForwardLanes / V::kLanes;
  static constexpr int kMaxPanelRows = V::kMaxVectors * V::kLanes;
  // Queries of whole elements can take the scale without loss.
  static constexpr bool kScaledQueries = V::kPack == 1;
  using Exponential = Exp2OfDifference<V, !kScaledQueries>;

 public:
  explicit ForwardTileRun(const ForwardTile& tile)
      : tile_(tile),
        query_scale_(kScaledQueries ? tile.scale * kLog2E : 1.0f),
        score_scale_(kScaledQueries ? 1.0f : tile.scale * kLog2E) {
    float* free = tile.workspace;
    scores_ = Take(&free, static_cast<int64_t>(BlockKeys()) * kMaxPanelRows);
    rescaling_ = Take(&free, kMaxPanelRows);
    block_ = Take(&free, ForwardKeys<V, Element>::Floats(BlockKeys(), tile.head_dim));
    for (int32_t head = 0; head < tile.heads; ++head) {
      for (int32_t row = 0; row < tile.rows; ++panels_) {
        row += AddPanel(head, row, &free, &panel_[panels_]);
      }
    }
  }

  void Run() {
    const TileMask& mask = tile_.mask;
    int64_t begin = mask.diagonal - mask.window + 1;
    int64_t end = tile_.rows + mask.diagonal;
    // The same blocks however rows are cut into tiles, and so the same sums.
    begin = begin < 0 ? 0 : begin / BlockKeys() * BlockKeys();
    end = end > tile_.keys ? tile_.keys : end;
    for (int64_t key = begin; key < end; key += BlockKeys()) {
      const int64_t block_end = key + BlockKeys() < end ? key + BlockKeys() : end;
      keys_.Load(tile_, key, block_end, panels_, block_);
      for (int p = 0; p < panels_; ++p) {
        const ForwardPanel& panel = panel_[p];
        // The next block comes closer while this one is computed on.
        const int64_t next = end - block_end < BlockKeys() ? end - block_end : BlockKeys();
        keys_.Prefetch(tile_, block_end + next * p / panels_, block_end + next * (p + 1) / panels_);
        if (panel.vectors == 1) Block<1>(panel, key, block_end);
        if (panel.vectors == 2) Block<2>(panel, key, block_end);
        if constexpr (V::kMaxVectors >= 4) {
          if (panel.vectors == 3) Block<3>(panel, key, block_end);
          if (panel.vectors == 4) Block<4>(panel, key, block_end);
        }
      }
    }
    for (int p = 0; p < panels_; ++p) End(panel_[p]);
  }

 private:
  static float* Take(float** free, int64_t floats) {
    float* taken = *free;
    *free += floats;
    return taken;
  }

  // Scores, queries and outputs of a panel share the first-level cache.
  int32_t BlockKeys() const { return tile_.head_dim <= 64 ? 144 : 96; }

  // Returns the panel's rows.
  int32_t AddPanel(int32_t head, int32_t row, float** free, ForwardPanel* panel) {
    const int32_t left = tile_.rows - row;
    panel->head = head;
    panel->row = row;
    panel->vectors = PanelVectors<V>((left + V::kLanes - 1) / V::kLanes);
    const int32_t lanes = panel->vectors * V::kLanes;
    panel->rows = lanes < left ? lanes : left;
    panel->q = Take(free, UnitsFor<V>(tile_.head_dim) * lanes);
    panel->out = Take(free, static_cast<int64_t>(tile_.head_dim) * lanes);
    panel->max = Take(free, lanes);
    panel->sum = Take(free, lanes);
    Begin(*panel);
    return panel->rows;
  }

  void Begin(const ForwardPanel& panel) {
    const int32_t lanes = panel.vectors * V::kLanes;
    const Element* q = static_cast<const Element*>(tile_.q) + panel.row * tile_.q_stride +
                       panel.head * tile_.head_dim;
    for (int32_t lane = 0; lane < lanes; lane += V::kLanes) {
      const int32_t rows = panel.rows - lane < V::kLanes ? panel.rows - lane : V::kLanes;
      const UnitRows units =
          AsUnits<V>(q + lane * tile_.q_stride, tile_.q_stride, rows, tile_.head_dim,
                     /*gather=*/false, block_);
      TransposeRows<V>(units, rows, tile_.head_dim / V::kPack, panel.q + lane, lanes);
    }
    if constexpr (kScaledQueries) {
      for (int64_t i = 0; i < static_cast<int64_t>(tile_.head_dim) * lanes; ++i) {
        panel.q[i] *= query_scale_;
      }
    }
    for (int64_t i = 0; i < static_cast<int64_t>(tile_.head_dim) * lanes; ++i) panel.out[i] = 0.0f;
    for (int32_t i = 0; i < lanes; ++i) {
      panel.max[i] = -__builtin_inff();
      panel.sum[i] = 0.0f;
    }
  }

  // Keys [begin, end) of the tile for one panel, less those that none of its rows may see.
  template <int C>
  void Block(const ForwardPanel& panel, int64_t begin, int64_t end) {
    const int64_t loaded = begin;
    const int64_t loaded_end = end;
    const int64_t first_diagonal = panel.row + tile_.mask.diagonal;
    const int64_t last_diagonal = first_diagonal + panel.rows - 1;
    const int64_t window = tile_.mask.window;
    if (begin < first_diagonal - window + 1) begin = first_diagonal - window + 1;
    if (end > last_diagonal + 1) end = last_diagonal + 1;
    if (begin >= end) return;
    begin = UnitBegin(begin);  // Not before `loaded`.
    const bool windowed = begin <= last_diagonal - window;
    // Keys that all rows have reached, then the diagonal's.
    int64_t reached = end < first_diagonal + 1 ? end : first_diagonal + 1;
    if (reached < begin) reached = begin;
    if (reached < end) reached = UnitBegin(reached);
    float old_max[C * V::kLanes];
    for (int i = 0; i < C * V::kLanes; ++i) old_max[i] = panel.max[i];
    const KeySpan keys{begin, reached, end, begin - loaded};
    if (windowed) {
      Scores<C, 0, true>(panel, keys, begin, reached);
    } else {
      Scores<C, 0, false>(panel, keys, begin, reached);
    }
    DiagonalScores<C, 0>(panel, keys);
    Softmax<C>(panel, keys, old_max);
    const bool masked = windowed || reached < end || end < loaded_end;
    if (masked && !keys_.values_finite()) return AddSeenValues<C>(panel, keys);
    AddValues<C, 0, true>(panel, keys, begin, reached);
    DiagonalValues<C, 0>(panel, keys);
  }

  // The keys of a block that a panel sees. Whole units but for the last, as every step of them:
  // what a unit holds besides has probability 0.
  struct KeySpan {
    int64_t begin;
    int64_t reached;  // By all rows of the panel, but for the window; the rest is the diagonal's.
    int64_t end;
    int64_t skip;  // Rows of the block before `begin`.
  };

  // The first key of the unit that holds `key`. Blocks begin at whole units.
  static int64_t UnitBegin(int64_t key) { return key & -int64_t{V::kPack}; }

  // The diagonal's keys, a vector's worth at a time. Step J's are seen by no lane before vector J.
  template <int J>
  KeySpan DiagonalStep(const ForwardPanel& panel, const KeySpan& keys) const {
    const int64_t first = UnitBegin(panel.row + tile_.mask.diagonal + 1 + J * V::kLanes);
    KeySpan step = keys;
    step.begin = first < keys.reached ? keys.reached : first;
    step.end = first + V::kLanes < keys.end ? first + V::kLanes : keys.end;
    return step;
  }

  template <int C, int J>
  void DiagonalScores(const ForwardPanel& panel, const KeySpan& keys) {
    const KeySpan step = DiagonalStep<J>(panel, keys);
    if (step.begin < step.end) Scores<C, J, true>(panel, keys, step.begin, step.end);
    if constexpr (J + 1 < C) DiagonalScores<C, J + 1>(panel, keys);
  }

  template <int C, int J>
  void DiagonalValues(const ForwardPanel& panel, const KeySpan& keys) {
    const KeySpan step = DiagonalStep<J>(panel, keys);
    if (step.begin < step.end) AddValues<C, J, false>(panel, keys, step.begin, step.end);
    if constexpr (J + 1 < C) DiagonalValues<C, J + 1>(panel, keys);
  }

  // Keys [begin, end), for the panel's vectors from J on.
  template <int C, int J, bool kMasked>
  void Scores(const ForwardPanel& panel, const KeySpan& keys, int64_t begin, int64_t end) {
    constexpr int64_t kLane = J * V::kLanes;
    const UnitRows& k = keys_.k();
    const int64_t skip = keys.skip + begin - keys.begin;
    Product<V, C - J>(
        LeftOperand<false>{k.data + skip * k.stride, k.stride}, static_cast<int>(end - begin),
        RightOperand<V>{panel.q + kLane, C * V::kLanes}, tile_.head_dim / V::kPack,
        ScoreEpilogue<V, C - J, C, kMasked>{ScoresOf<C>(keys, begin) + kLane, panel.max + kLane,
                                            begin - panel.row - tile_.mask.diagonal - kLane,
                                            tile_.mask.window});
  }

  template <int C, int J, bool kRescale>
  void AddValues(const ForwardPanel& panel, const KeySpan& keys, int64_t begin, int64_t end) {
    constexpr int64_t kLane = J * V::kLanes;
    const UnitRows& v = keys_.v();
    const int64_t skip = (keys.skip + begin - keys.begin) / V::kPack;
    Product<V, C - J>(LeftOperand<true>{v.data + skip * v.stride, v.stride}, tile_.head_dim,
                      RightOperand<V>{ProbabilitiesOf<C>(keys, begin) + kLane, C * V::kLanes},
                      UnitsFor<V>(end - begin),
                      OutputEpilogue<V, C - J, C, kRescale>{panel.out + kLane, rescaling_ + kLane});
  }

  template <int C>
  float* ScoresOf(const KeySpan& keys, int64_t key) const {
    return scores_ + (key - keys.begin) * C * V::kLanes;
  }
  // In place of scores: a unit of keys overwrites the first of the rows already read.
  template <int C>
  float* ProbabilitiesOf(const KeySpan& keys, int64_t key) const {
    return scores_ + (key - keys.begin) / V::kPack * C * V::kLanes;
  }

  // Scores become exp2(scale * (score - max)), and units of the sum over keys; the running sum and
  // the rescaling of older terms follow.
  template <int C>
  void Softmax(const ForwardPanel& panel, const KeySpan& keys, const float* old_max) {
    const Exponential exponential(score_scale_);
    Reg max[C];
    Reg sum[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      max[c] = FiniteMax(panel.max + c * V::kLanes);
      const Reg old = FiniteMax(old_max + c * V::kLanes);
      V::Store(rescaling_ + c * V::kLanes, exponential(old, max[c]));
      sum[c] = V::Broadcast(0.0f);
    }
    Exponentials<C, 0>(keys, keys.begin, keys.reached, exponential, max, sum);
    DiagonalExponentials<C, 0>(panel, keys, exponential, max, sum);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const Reg old_sum = V::Load(panel.sum + c * V::kLanes);
      V::Store(panel.sum + c * V::kLanes,
               V::Fma(old_sum, V::Load(rescaling_ + c * V::kLanes), sum[c]));
    }
  }

  // Finite also for a row without an allowed key, or its terms would be NaN.
  static Reg FiniteMax(const float* max) { return V::Max(V::Broadcast(kLowestMax), V::Load(max)); }

  template <int C, int J>
  [[gnu::always_inline]] void Exponentials(const KeySpan& keys, int64_t begin, int64_t end,
                                           const Exponential& exponential, const Reg (&max)[C],
                                           Reg (&sum)[C]) {
    constexpr int64_t kRow = C * V::kLanes;
    const float* scores = ScoresOf<C>(keys, begin);
    float* out = ProbabilitiesOf<C>(keys, begin);
    int64_t key = begin;
    for (; key + V::kPack <= end; key += V::kPack, scores += V::kPack * kRow, out += kRow) {
      UnitOfExponentials<C, J, V::kPack>(scores, out, exponential, max, sum);
    }
    if constexpr (V::kPack > 1) {
      if (key < end) UnitOfExponentials<C, J, 1>(scores, out, exponential, max, sum);
    }
  }

  // Of a unit's keys the first `kKeys`; the rest has probability 0. The sum is of terms before they
  // are rounded to elements.
  template <int C, int J, int kKeys>
  [[gnu::always_inline]] void UnitOfExponentials(const float* scores, float* out,
                                                 const Exponential& exponential,
                                                 const Reg (&max)[C], Reg (&sum)[C]) {
#pragma GCC unroll 4
    for (int c = J; c < C; ++c) {
      Reg p[V::kPack];
#pragma GCC unroll 2
      for (int i = 0; i < V::kPack; ++i) {
        p[i] = V::Broadcast(0.0f);
        if (i >= kKeys) continue;
        p[i] = exponential(V::Load(scores + (i * C + c) * V::kLanes), max[c]);
        sum[c] = V::Add(sum[c], p[i]);
      }
      V::Store(out + c * V::kLanes, PackTerms<V>(p));
    }
  }

  template <int C, int J>
  void DiagonalExponentials(const ForwardPanel& panel, const KeySpan& keys,
                            const Exponential& exponential, const Reg (&max)[C], Reg (&sum)[C]) {
    const KeySpan step = DiagonalStep<J>(panel, keys);
    if (step.begin < step.end)
      Exponentials<C, J>(keys, step.begin, step.end, exponential, max, sum);
    if constexpr (J + 1 < C) DiagonalExponentials<C, J + 1>(panel, keys, exponential, max, sum);
  }

  // The product of probabilities and values, of allowed pairs alone: a masked pair's 0 times NaN or
  // infinity would reach rows that do not see it. Rare, hence plain.
  template <int C>
  void AddSeenValues(const ForwardPanel& panel, const KeySpan& keys) {
    constexpr int kPanelLanes = C * V::kLanes;
    for (int64_t i = 0; i < int64_t{kPanelLanes} * tile_.head_dim; ++i) {
      panel.out[i] *= rescaling_[i % kPanelLanes];
    }
    for (int64_t key = 0; key < keys.end - keys.begin; ++key) {
      const int64_t first = keys.begin + key - panel.row - tile_.mask.diagonal;
      const int64_t last =
          first + tile_.mask.window < panel.rows ? first + tile_.mask.window : int64_t{panel.rows};
      const int term = static_cast<int>(key % V::kPack);
      const float* p = ProbabilitiesOf<C>(keys, keys.begin + key);
      const float* v = keys_.v().data + (keys.skip + key) / V::kPack * keys_.v().stride;
      for (int64_t lane = first < 0 ? 0 : first; lane < last; ++lane) {
        for (int32_t d = 0; d < tile_.head_dim; ++d) {
          panel.out[int64_t{d} * kPanelLanes + lane] +=
              TermAt<V>(p + lane, term) * TermAt<V>(v + d, term);
        }
      }
    }
  }

  // Divides, transposes back and writes the rows that exist.
  void End(const ForwardPanel& panel) {
    const int32_t lanes = panel.vectors * V::kLanes;
    float inverse[kMaxPanelRows];
    for (int32_t i = 0; i < panel.rows; ++i) {
      const float sum = panel.sum[i];
      inverse[i] = sum == 0.0f ? 0.0f : 1.0f / sum;
      tile_.lse[(panel.row + i) * tile_.lse_stride + panel.head] =
          sum == 0.0f ? -__builtin_inff()
                      : panel.max[i] * score_scale_ * kLn2 + __builtin_logf(sum);
    }
    for (int32_t lane = 0; lane < panel.rows; lane += V::kLanes) {
      const int32_t left = panel.rows - lane;
      float* out = tile_.out + (panel.row + lane) * tile_.q_stride + panel.head * tile_.head_dim;
      for (int32_t d = 0; d < tile_.head_dim; d += V::kLanes) {
        Reg square[V::kLanes];
#pragma GCC unroll 16
        for (int r = 0; r < V::kLanes; ++r) {
          square[r] = V::Load(panel.out + static_cast<int64_t>(d + r) * lanes + lane);
        }
        V::Transpose(square);
#pragma GCC unroll 16
        for (int r = 0; r < V::kLanes; ++r) {
          if (r < left) {
            V::Store(out + r * tile_.q_stride + d,
                     V::Mul(V::Broadcast(inverse[lane + r]), square[r]));
          }
        }
      }
    }
  }

  static constexpr float kLowestMax = -3.0e38f;

  const ForwardTile& tile_;
  // To units of log 2: of queries as they are laid out, and of scores as they are read.
  const float query_scale_;
  const float score_scale_;
  ForwardPanel panel_[kMaxPanels];
  int panels_ = 0;
  float* scores_ = nullptr;     // [keys of a block, C vectors]
  float* rescaling_ = nullptr;  // [C vectors]
  float* block_ = nullptr;      // Of keys_; before there are any, scratch.
  ForwardKeys<V, Element> keys_;
};

template <class V, class Element>
void RunForwardTile(const ForwardTile& tile) {
  ForwardTileRun<V, Element>(tile).Run();
}

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_FORWARD_TILE_H_
