#include "services/planning/plan_picture.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "scheduler/shard_index.h"

namespace rally {
namespace {

constexpr double kLeft = 76.0;
constexpr double kTop = 66.0;
constexpr double kPlotWidth = 1000.0;
constexpr double kRight = 20.0;
constexpr double kBottom = 34.0;
constexpr double kPhaseGap = 12.0;
constexpr double kMostPlotHeight = 900.0;
constexpr double kTallestRow = 26.0;
constexpr double kLabelHeight = 13.0;
constexpr double kNameWidth = 110.0;

// What travels for a task.
enum class Travel : uint8_t { kNothing, kKeys, kQueries };
constexpr std::array<const char*, 3> kColours = {"#b9c4cf", "#e8a33d", "#c2402f"};
constexpr std::array<const char*, 3> kMeanings = {"all at home", "keys and values travel",
                                                  "query rows travel"};

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

Travel TravelOf(const CaTask& task, const ShardIndex& index) {
  if (index.Find(task.document, task.q_begin, task.q_end)[0].home != task.server) {
    return Travel::kQueries;
  }
  for (const ShardPlace& place : index.Find(task.document, task.kv_begin, task.kv_end)) {
    if (place.home != task.server) return Travel::kKeys;
  }
  return Travel::kNothing;
}

// A task with what its segment needs.
struct Segment {
  const CaTask* task = nullptr;
  Travel travel = Travel::kNothing;
  int64_t pairs = 0;
};

// One micro-batch and nano-batch that has tasks.
struct PhaseRows {
  std::string name;
  std::vector<std::vector<Segment>> segments;  // By rank: at home first, large ones first.
  int64_t largest = 0;                         // Pairs of the busiest rank.
  int64_t total = 0;
};

PhaseRows RowsOf(const Plan& plan, size_t micro_batch, int nano_batch, AttentionMask mask) {
  PhaseRows rows;
  rows.name = absl::StrCat("micro-batch ", micro_batch, nano_batch == 0 ? ", ping" : ", pong");
  rows.segments.resize(static_cast<size_t>(plan.ranks()));
  const ShardIndex index(plan.micro_batches[micro_batch]);
  for (const CaTask& task : plan.micro_batches[micro_batch].tasks[nano_batch]) {
    rows.segments[static_cast<size_t>(task.server)].push_back(
        {&task, TravelOf(task, index), AllowedPairs(task, mask)});
  }
  for (std::vector<Segment>& row : rows.segments) {
    std::stable_sort(row.begin(), row.end(), [](const Segment& a, const Segment& b) {
      return a.travel != b.travel ? a.travel < b.travel : a.pairs > b.pairs;
    });
    int64_t pairs = 0;
    for (const Segment& segment : row) pairs += segment.pairs;
    rows.largest = std::max(rows.largest, pairs);
    rows.total += pairs;
  }
  return rows;
}

std::vector<PhaseRows> PhasesOf(const Plan& plan, AttentionMask mask) {
  std::vector<PhaseRows> phases;
  for (size_t micro_batch = 0; micro_batch < plan.micro_batches.size(); ++micro_batch) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      PhaseRows rows = RowsOf(plan, micro_batch, nano_batch, mask);
      if (rows.total > 0) phases.push_back(std::move(rows));
    }
  }
  return phases;
}

class Painter {
 public:
  Painter(const Plan& plan, const Topology& topology, double tolerance, absl::string_view title,
          std::vector<PhaseRows> phases)
      : plan_(plan),
        tolerance_(tolerance),
        phases_(std::move(phases)),
        row_height_(std::min(kTallestRow, kMostPlotHeight / plan.ranks())),
        plot_height_(row_height_ * plan.ranks()) {
    for (int32_t rank = 0; rank < plan_.ranks(); ++rank) members_ += topology.weight(rank) > 0.0;
    double pairs = 0.0;
    for (const PhaseRows& phase : phases_) pairs += WidestIn(phase);
    const double gaps = kPhaseGap * static_cast<double>(std::max<size_t>(phases_.size(), 1) - 1);
    scale_ = pairs == 0.0 ? 0.0 : (kPlotWidth - gaps) / pairs;
    Open(title);
  }

  std::string Paint() {
    DrawLegend();
    DrawLabels();
    double left = kLeft;
    for (const PhaseRows& phase : phases_) {
      DrawPhase(phase, left);
      left += scale_ * WidestIn(phase) + kPhaseGap;
    }
    absl::StrAppend(&svg_, "</svg>\n");
    return std::move(svg_);
  }

 private:
  // Pairs of a phase: the pool's mean, and what its column has room for.
  double MeanIn(const PhaseRows& phase) const {
    return static_cast<double>(phase.total) / std::max(members_, 1);
  }
  double WidestIn(const PhaseRows& phase) const {
    return std::max(static_cast<double>(phase.largest), MeanIn(phase) * (1.0 + tolerance_));
  }

  void Open(absl::string_view title) {
    const double width = kLeft + kPlotWidth + kRight;
    const double height = kTop + plot_height_ + kBottom;
    absl::StrAppendFormat(&svg_,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
                          "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" "
                          "font-size=\"11\" fill=\"#333\">\n",
                          width, height, width, height);
    absl::StrAppendFormat(&svg_, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"white\"/>\n", width,
                          height);
    Text(kLeft, 20.0, "start", absl::StrCat("<tspan font-size=\"15\">", Escape(title), "</tspan>"));
  }

  void Text(double x, double y, absl::string_view anchor, absl::string_view text) {
    absl::StrAppendFormat(&svg_, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\">%s</text>\n", x, y,
                          anchor, text);
  }

  void Line(double x, double top, double bottom, absl::string_view dash) {
    absl::StrAppendFormat(&svg_,
                          "<line x1=\"%.2f\" x2=\"%.2f\" y1=\"%.2f\" y2=\"%.2f\" stroke=\"#222\" "
                          "stroke-width=\"1\" stroke-dasharray=\"%s\"/>\n",
                          x, x, top, bottom, dash);
  }

  void DrawLegend() {
    double x = kLeft;
    for (size_t i = 0; i < kColours.size(); ++i) {
      absl::StrAppendFormat(&svg_,
                            "<rect x=\"%.2f\" y=\"32\" width=\"12\" height=\"12\" fill=\"%s\"/>\n",
                            x, kColours[i]);
      Text(x + 17.0, 42.0, "start", kMeanings[i]);
      x += 160.0;
    }
    Line(x + 6.0, 31.0, 45.0, "none");
    Text(x + 14.0, 42.0, "start", "mean");
    Line(x + 66.0, 31.0, 45.0, "3 2");
    Text(x + 74.0, 42.0, "start", absl::StrFormat("mean + %g %%", 100.0 * tolerance_));
    Text(x + 180.0, 42.0, "start", "width: query-key pairs");
  }

  void DrawLabels() {
    const auto step = static_cast<int32_t>(std::max(1.0, kLabelHeight / row_height_ + 0.5));
    for (int32_t rank = 0; rank < plan_.ranks(); rank += step) {
      Text(kLeft - 6.0, kTop + row_height_ * (rank + 0.5) + 4.0, "end",
           absl::StrCat(rank < plan_.workers ? "worker " : "server ", rank));
    }
  }

  void DrawPhase(const PhaseRows& phase, double left) {
    for (size_t rank = 0; rank < phase.segments.size(); ++rank) {
      double x = left;
      for (const Segment& segment : phase.segments[rank]) {
        DrawSegment(segment, x, kTop + row_height_ * static_cast<double>(rank));
        x += scale_ * static_cast<double>(segment.pairs);
      }
    }
    const double mean = scale_ * MeanIn(phase);
    Line(left + mean, kTop - 4.0, kTop + plot_height_ + 4.0, "none");
    Line(left + mean * (1.0 + tolerance_), kTop - 4.0, kTop + plot_height_ + 4.0, "3 2");
    if (phases_.size() > 1 && scale_ * WidestIn(phase) > kNameWidth) {
      Text(left, kTop + plot_height_ + 20.0, "start", phase.name);
    }
  }

  void DrawSegment(const Segment& segment, double x, double y) {
    const CaTask& task = *segment.task;
    const double width = scale_ * static_cast<double>(segment.pairs);
    const double outline = std::min({0.6, width / 8.0, row_height_ / 12.0});
    absl::StrAppendFormat(
        &svg_,
        "<rect x=\"%.3f\" y=\"%.2f\" width=\"%.3f\" height=\"%.2f\" fill=\"%s\" stroke=\"white\" "
        "stroke-width=\"%.3f\"><title>document %d, queries [%d, %d), keys [%d, %d), %d "
        "pairs</title></rect>\n",
        x, y, width, row_height_ * 0.9, kColours[static_cast<size_t>(segment.travel)], outline,
        task.document, task.q_begin, task.q_end, task.kv_begin, task.kv_end, segment.pairs);
  }

  const Plan& plan_;
  const double tolerance_;
  const std::vector<PhaseRows> phases_;
  const double row_height_;
  const double plot_height_;
  int32_t members_ = 0;  // Of the pool.
  double scale_ = 0.0;   // Of a pair.
  std::string svg_;
};

}  // namespace

std::string PlanPicture(const Plan& plan, const Topology& topology, AttentionMask mask,
                        double tolerance, absl::string_view title) {
  return Painter(plan, topology, tolerance, title, PhasesOf(plan, mask)).Paint();
}

}  // namespace rally
