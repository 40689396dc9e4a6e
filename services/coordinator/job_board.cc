#include "services/coordinator/job_board.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/time/time.h>

#include "common/status_macros.h"
#include "proto/convert.h"

namespace rally {
namespace {

constexpr int32_t kDefaultPageSize = 100;
constexpr int32_t kMaxPageSize = 1000;
constexpr size_t kMostPageBytes = 4 << 20;  // A page of one larger job aside.

int64_t CreationNanos(const v1::Job& job) {
  return absl::ToUnixNanos(FromProto(job.create_time()));
}

absl::StatusOr<std::pair<int64_t, std::string>> ParseToken(const std::string& token) {
  const std::string text = absl::HexStringToBytes(token);
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  int64_t nanos = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &nanos) ||
      absl::BytesToHexString(text) != token) {
    return absl::InvalidArgumentError("page_token: is not a next_page_token of this service");
  }
  return std::make_pair(nanos, parts[1]);
}

bool Matches(const v1::Job& job, const v1::ListJobsRequest& request) {
  if (!absl::StartsWith(job.job_id(), request.id_prefix())) return false;
  return request.phases().empty() || std::find(request.phases().begin(), request.phases().end(),
                                               job.status().phase()) != request.phases().end();
}

}  // namespace

void JobBoard::Publish(v1::Job job) {
  const auto shared = std::make_shared<const v1::Job>(std::move(job));
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<const v1::Job>& place = jobs_[shared->job_id()];
  if (place != nullptr) Count(*place, -1);
  Count(*shared, 1);
  place = shared;
  by_time_[{CreationNanos(*shared), shared->job_id()}] = shared;
}

void JobBoard::Remove(const std::string& job_id) {
  absl::MutexLock lock(&mutex_);
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  by_time_.erase({CreationNanos(*found->second), job_id});
  Count(*found->second, -1);
  jobs_.erase(found);
}

void JobBoard::Count(const v1::Job& job, int64_t change) {
  const v1::JobPhase phase = job.status().phase();
  if ((counts_[phase] += change) == 0) counts_.erase(phase);
}

std::shared_ptr<const v1::Job> JobBoard::Get(const std::string& job_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() ? nullptr : found->second;
}

absl::StatusOr<v1::ListJobsResponse> JobBoard::List(const v1::ListJobsRequest& request) const {
  if (request.page_size() < 0 || request.page_size() > kMaxPageSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size: ", request.page_size(), " is not in [0, ", kMaxPageSize, "]"));
  }
  const int size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  Key before;
  if (!request.page_token().empty()) {
    RALLY_ASSIGN_OR_RETURN(before, ParseToken(request.page_token()));
  }
  v1::ListJobsResponse response;
  size_t bytes = 0;
  absl::MutexLock lock(&mutex_);
  auto end = request.page_token().empty() ? by_time_.end() : by_time_.lower_bound(before);
  for (auto it = std::make_reverse_iterator(end); it != by_time_.rend(); ++it) {
    if (!Matches(*it->second, request)) continue;
    bytes += it->second->ByteSizeLong();
    const int jobs = response.jobs_size();
    if (jobs == size || (jobs > 0 && bytes > kMostPageBytes)) {
      const v1::Job& last = response.jobs(jobs - 1);
      response.set_next_page_token(
          absl::BytesToHexString(absl::StrCat(CreationNanos(last), ":", last.job_id())));
      break;
    }
    *response.add_jobs() = *it->second;
  }
  return response;
}

std::map<v1::JobPhase, int64_t> JobBoard::CountByPhase() const {
  absl::MutexLock lock(&mutex_);
  return counts_;
}

}  // namespace rally
