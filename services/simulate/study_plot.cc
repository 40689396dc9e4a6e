#include "services/simulate/study_plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

namespace rally {
namespace {

constexpr int kColumns = 3;
constexpr double kPanelWidth = 320.0;
constexpr double kPanelHeight = 200.0;
constexpr double kLeft = 46.0;
constexpr double kTop = 30.0;
constexpr double kRight = 14.0;
constexpr double kBottom = 30.0;
constexpr double kLegend = 28.0;
constexpr std::array<const char*, 8> kColours = {"#2b6cb0", "#c2402f", "#2f855a", "#b7791f",
                                                 "#6b46c1", "#4a5568", "#d53f8c", "#319795"};

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

std::string Text(double x, double y, const char* anchor, absl::string_view text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         Escape(text));
}

std::string PanelName(const StudyRow& row) {
  return absl::StrCat(row.setting, row.setting.empty() ? "" : ", ", row.model, ", ",
                      row.distribution, ", ", row.setup.context / 1024, "K");
}

double Value(const StudyRow& row) { return row.forecast.tokens_per_second / row.setup.gpus / 1e3; }

struct Panel {
  std::string name;
  std::vector<const StudyRow*> rows;
};

class Plot {
 public:
  explicit Plot(absl::Span<const StudyRow> rows) {
    for (const StudyRow& row : rows) {
      if (!row.status.ok()) continue;
      const std::string name = PanelName(row);
      auto panel = std::find_if(panels_.begin(), panels_.end(),
                                [&name](const Panel& p) { return p.name == name; });
      if (panel == panels_.end()) panel = panels_.insert(panels_.end(), {name, {}});
      panel->rows.push_back(&row);
      if (std::find(planners_.begin(), planners_.end(), row.planner) == planners_.end()) {
        planners_.push_back(row.planner);
      }
    }
  }

  std::string Draw() const {
    const auto lines = (panels_.size() + kColumns - 1) / kColumns;
    const double height = kLegend + static_cast<double>(lines) * kPanelHeight + 10;
    std::string svg = absl::StrFormat(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
        "font-family=\"sans-serif\" font-size=\"10\" fill=\"#222\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        kColumns * kPanelWidth, height);
    absl::StrAppend(&svg, Legend());
    for (size_t i = 0; i < panels_.size(); ++i) {
      absl::StrAppendFormat(&svg, "<g transform=\"translate(%.0f,%.0f)\">\n",
                            static_cast<double>(i % kColumns) * kPanelWidth,
                            kLegend + static_cast<double>(i / kColumns) * kPanelHeight);
      absl::StrAppend(&svg, DrawPanel(panels_[i]), "</g>\n");
    }
    return svg + "</svg>\n";
  }

 private:
  const char* Colour(const std::string& planner) const {
    const auto found = std::find(planners_.begin(), planners_.end(), planner);
    return kColours[static_cast<size_t>(found - planners_.begin()) % kColours.size()];
  }

  std::string Legend() const {
    std::string svg = Text(kLeft, 17, "start", "thousand tokens per second and GPU, over GPUs:");
    double x = kLeft + 250;
    for (const std::string& planner : planners_) {
      absl::StrAppendFormat(&svg,
                            "<rect x=\"%.1f\" y=\"9\" width=\"10\" height=\"10\" fill=\"%s\"/>\n",
                            x, Colour(planner));
      absl::StrAppend(&svg, Text(x + 14, 17, "start", planner));
      x += 30 + 6.0 * static_cast<double>(planner.size());
    }
    return svg;
  }

  std::string DrawPanel(const Panel& panel) const {
    double top = 0.0;
    int32_t fewest = panel.rows[0]->setup.gpus;
    int32_t most = fewest;
    for (const StudyRow* row : panel.rows) {
      top = std::max(top, Value(*row));
      fewest = std::min(fewest, row->setup.gpus);
      most = std::max(most, row->setup.gpus);
    }
    const double width = kPanelWidth - kLeft - kRight;
    const double height = kPanelHeight - kTop - kBottom;
    const auto x_of = [&](int32_t gpus) {
      const double span = std::log2(static_cast<double>(most) / fewest);
      return kLeft + (span > 0.0 ? width * std::log2(static_cast<double>(gpus) / fewest) / span
                                 : width / 2);
    };
    const auto y_of = [&](double value) { return kTop + height * (1.0 - value / (1.05 * top)); };
    std::string svg = Text(kLeft, kTop - 8, "start", panel.name);
    for (int tick = 0; tick <= 4; ++tick) {
      const double value = top * tick / 4;
      absl::StrAppendFormat(&svg,
                            "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
                            "stroke=\"#ddd\"/>\n",
                            kLeft, kLeft + width, y_of(value), y_of(value));
      absl::StrAppend(&svg,
                      Text(kLeft - 5, y_of(value) + 3, "end", absl::StrFormat("%.2f", value)));
    }
    for (const std::string& planner : planners_) {
      absl::StrAppend(&svg, Line(panel, planner, x_of, y_of));
    }
    for (const StudyRow* row : panel.rows) {
      if (row->planner != panel.rows[0]->planner) continue;
      absl::StrAppend(&svg, Text(x_of(row->setup.gpus), kTop + height + 14, "middle",
                                 absl::StrCat(row->setup.gpus)));
    }
    return svg;
  }

  template <typename X, typename Y>
  std::string Line(const Panel& panel, const std::string& planner, const X& x_of,
                   const Y& y_of) const {
    std::string points;
    std::string dots;
    for (const StudyRow* row : panel.rows) {
      if (row->planner != planner) continue;
      const double x = x_of(row->setup.gpus);
      const double y = y_of(Value(*row));
      absl::StrAppendFormat(&points, "%.1f,%.1f ", x, y);
      absl::StrAppendFormat(&dots, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", x,
                            y, Colour(planner));
    }
    return absl::StrCat("<polyline points=\"", points, "\" fill=\"none\" stroke=\"",
                        Colour(planner), "\" stroke-width=\"1.5\"/>\n", dots);
  }

  std::vector<Panel> panels_;
  std::vector<std::string> planners_;
};

}  // namespace

std::string StudyPlot(absl::Span<const StudyRow> rows) { return Plot(rows).Draw(); }

}  // namespace rally
