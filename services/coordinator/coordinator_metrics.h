// CoordinatorMetrics: what /metrics tells about the cluster and its jobs.
//
// Thread-safe.
#ifndef RALLY_SERVICES_COORDINATOR_COORDINATOR_METRICS_H_
#define RALLY_SERVICES_COORDINATOR_COORDINATOR_METRICS_H_

#include <cstdint>
#include <map>
#include <string>

#include <absl/status/status.h>

#include "common/metrics.h"
#include "rally/v1/jobs.pb.h"
#include "services/coordinator/member_table.h"

namespace rally {

class CoordinatorMetrics {
 public:
  CoordinatorMetrics();

  void CountRpc(const std::string& method, absl::StatusCode code);
  // A call that was refused for who made it; `method` as the authenticator knows it.
  void CountRefusal(const std::string& method, absl::StatusCode code);
  void CountHttp(const std::string& path, int code);
  void RecordStep(const std::string& job_id, const v1::StepReport& report);
  void RecordValidation(const std::string& job_id, const v1::ValidationReport& report);
  // A job's own series go when it has ended.
  void ForgetJob(const std::string& job_id);
  void SetCluster(const MemberTable& members, const std::map<v1::JobPhase, int64_t>& jobs);

  std::string Text() const { return registry_.Text(); }

 private:
  MetricsRegistry registry_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_COORDINATOR_METRICS_H_
