// MetricsRegistry: a process's counters, gauges and histograms in Prometheus form.
//
// Names follow Prometheus: snake_case, base units, "rally_" first, counters end in "_total",
// durations in "_seconds", sizes in "_bytes". A family is one name with one help text; a member of
// it is told apart by labels. Asking twice for the same member gives the same object. Objects live
// as long as the registry, or until Remove. Everything is thread-safe. Naming a family twice with
// another type or a name Prometheus refuses is a defect and aborts.
#ifndef RALLY_COMMON_METRICS_H_
#define RALLY_COMMON_METRICS_H_

#include <map>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace rally {

using MetricLabels = std::map<std::string, std::string>;

class MetricsRegistry {
 public:
  MetricsRegistry() = default;
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  // Only rises: Increment().
  prometheus::Counter& Counter(const std::string& name, const std::string& help,
                               const MetricLabels& labels = {});
  // Goes up and down: Set(value).
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help,
                           const MetricLabels& labels = {});
  // Observe(value). `bounds` are the buckets' upper bounds, ascending, without the infinite one;
  // the first call for a member decides them.
  prometheus::Histogram& Histogram(const std::string& name, const std::string& help,
                                   const std::vector<double>& bounds,
                                   const MetricLabels& labels = {});

  // Drops every family's member that carries label `key` = `value`, as when a job is forgotten.
  // References to such members end here.
  void Remove(const std::string& key, const std::string& value);

  // The text exposition format, version 0.0.4: what /metrics answers with
  // "Content-Type: text/plain; version=0.0.4; charset=utf-8".
  std::string Text() const;

 private:
  template <typename Metric>
  struct Members {
    prometheus::Family<Metric>* family = nullptr;
    std::map<MetricLabels, Metric*> metrics;

    void Remove(const std::string& key, const std::string& value);
  };
  template <typename Metric>
  using Families = std::map<std::string, Members<Metric>>;

  prometheus::Registry registry_;
  absl::Mutex mutex_;
  Families<prometheus::Counter> counters_ ABSL_GUARDED_BY(mutex_);
  Families<prometheus::Gauge> gauges_ ABSL_GUARDED_BY(mutex_);
  Families<prometheus::Histogram> histograms_ ABSL_GUARDED_BY(mutex_);
};

// Bucket bounds first, first * factor, ... (`count` of them), for durations and sizes.
std::vector<double> ExponentialBounds(double first, double factor, int count);

}  // namespace rally

#endif  // RALLY_COMMON_METRICS_H_
