#include "common/metrics.h"

#include <exception>
#include <utility>

#include <prometheus/text_serializer.h>

#include "common/check.h"

namespace rally {
namespace {

// prometheus-cpp throws on a bad name, label or a second type; those are defects of this program.
template <typename Function>
auto& OrAbort(const std::string& name, Function function) {
  decltype(&function()) result = nullptr;
  std::string error;
  try {
    result = &function();
  } catch (const std::exception& e) {
    error = e.what();
  }
  RALLY_CHECK(result != nullptr, "metric " + name + ": " + error);
  return *result;
}

// The member of a family; both are made when they are new. `build` starts the family's builder.
template <typename Families, typename Build, typename... Args>
auto& FindOrAdd(Families& families, prometheus::Registry& registry, Build build,
                const std::string& name, const std::string& help, const MetricLabels& labels,
                const Args&... args) {
  auto& [family, metrics] = families[name];
  if (family == nullptr) {
    family = &OrAbort(
        name, [&]() -> auto& { return build().Name(name).Help(help).Register(registry); });
  }
  auto& metric = metrics[labels];
  if (metric == nullptr) {
    auto& added = *family;
    metric = &OrAbort(
        name, [&]() -> auto& {
          return added.Add(prometheus::Labels(labels.begin(), labels.end()), args...);
        });
  }
  return *metric;
}

}  // namespace

prometheus::Counter& MetricsRegistry::Counter(const std::string& name, const std::string& help,
                                              const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  return FindOrAdd(counters_, registry_, prometheus::BuildCounter, name, help, labels);
}

prometheus::Gauge& MetricsRegistry::Gauge(const std::string& name, const std::string& help,
                                          const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  return FindOrAdd(gauges_, registry_, prometheus::BuildGauge, name, help, labels);
}

prometheus::Histogram& MetricsRegistry::Histogram(const std::string& name, const std::string& help,
                                                  const std::vector<double>& bounds,
                                                  const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  return FindOrAdd(histograms_, registry_, prometheus::BuildHistogram, name, help, labels, bounds);
}

template <typename Metric>
void MetricsRegistry::Members<Metric>::Remove(const std::string& key, const std::string& value) {
  std::erase_if(metrics, [&](const auto& member) {
    auto label = member.first.find(key);
    if (label == member.first.end() || label->second != value) return false;
    family->Remove(member.second);
    return true;
  });
}

void MetricsRegistry::Remove(const std::string& key, const std::string& value) {
  absl::MutexLock lock(&mutex_);
  for (auto& [name, members] : counters_) members.Remove(key, value);
  for (auto& [name, members] : gauges_) members.Remove(key, value);
  for (auto& [name, members] : histograms_) members.Remove(key, value);
}

std::string MetricsRegistry::Text() const {
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

std::vector<double> ExponentialBounds(double first, double factor, int count) {
  RALLY_CHECK(first > 0 && factor > 1 && count > 0, "bounds must rise from above 0");
  std::vector<double> bounds;
  double bound = first;
  for (int i = 0; i < count; ++i, bound *= factor) bounds.push_back(bound);
  return bounds;
}

}  // namespace rally
