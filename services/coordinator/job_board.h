// JobBoard: the jobs as readers may see them: what the store has, never more.
//
// Thread-safe. Jobs are immutable once published; a newer one takes an older one's place.
#ifndef RALLY_SERVICES_COORDINATOR_JOB_BOARD_H_
#define RALLY_SERVICES_COORDINATOR_JOB_BOARD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "rally/v1/jobs.pb.h"

namespace rally {

class JobBoard {
 public:
  void Publish(v1::Job job);
  void Remove(const std::string& job_id);

  // Null when there is no such job.
  std::shared_ptr<const v1::Job> Get(const std::string& job_id) const;

  // One page, newest first. The token names the last job of the page before, so jobs that come and
  // go meanwhile neither repeat nor hide others. A page holds fewer jobs than asked for where it
  // would grow beyond 4 MiB. InvalidArgument for a page size or token out of range.
  absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request) const;

  std::map<v1::JobPhase, int64_t> CountByPhase() const;

 private:
  using Key = std::pair<int64_t, std::string>;  // Creation time in ns, id.

  void Count(const v1::Job& job, int64_t change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<v1::JobPhase, int64_t> counts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<const v1::Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, std::shared_ptr<const v1::Job>> by_time_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_JOB_BOARD_H_
