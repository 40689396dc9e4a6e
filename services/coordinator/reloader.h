// Reloader: something made of files, made anew when they change.
//
// Looks at the files when it is asked, at most every kReloadInterval, so it needs no thread. What
// cannot be read or made of the new contents is logged once and leaves what was there. Contents
// are compared, not times: links that move and files that are copied over count alike.
//
// Thread-safe. `make` is called under its lock.
#ifndef RALLY_SERVICES_COORDINATOR_RELOADER_H_
#define RALLY_SERVICES_COORDINATOR_RELOADER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "common/log.h"
#include "proto/credentials.h"

namespace rally {

template <typename Contents, typename Value>
class Reloader {
 public:
  using Read = std::function<absl::StatusOr<Contents>()>;
  using Make = std::function<absl::StatusOr<std::shared_ptr<Value>>(const Contents&)>;

  // The first time, errors are the caller's. `what` names it in the log.
  static absl::StatusOr<std::unique_ptr<Reloader>> Load(std::string what, Read read, Make make) {
    std::unique_ptr<Reloader> reloader(
        new Reloader(std::move(what), std::move(read), std::move(make)));
    const absl::Status status = reloader->ReadFirst();
    if (!status.ok()) return status;
    return reloader;
  }

  std::shared_ptr<Value> Get() {
    absl::MutexLock lock(&mutex_);
    if (absl::Now() < next_look_) return value_;
    const absl::Status status = Refresh();
    if (status != last_status_ && !status.ok()) {
      RALLY_LOG_ERROR("{}: {}; what was there before stays in use", what_,
                      std::string(status.message()));
    }
    last_status_ = status;
    return value_;
  }

 private:
  Reloader(std::string what, Read read, Make make)
      : what_(std::move(what)), read_(std::move(read)), make_(std::move(make)) {}

  absl::Status ReadFirst() {
    absl::MutexLock lock(&mutex_);
    return Refresh();
  }

  absl::Status Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    next_look_ = absl::Now() + kReloadInterval;
    absl::StatusOr<Contents> contents = read_();
    if (!contents.ok()) return contents.status();
    if (value_ != nullptr && *contents == contents_) return absl::OkStatus();
    absl::StatusOr<std::shared_ptr<Value>> value = make_(*contents);
    if (!value.ok()) return value.status();
    if (value_ != nullptr) RALLY_LOG_INFO("{}: changed, in use from now on", what_);
    value_ = *std::move(value);
    contents_ = *std::move(contents);
    return absl::OkStatus();
  }

  const std::string what_;
  const Read read_;
  const Make make_;
  absl::Mutex mutex_;
  absl::Time next_look_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_status_ ABSL_GUARDED_BY(mutex_);
  Contents contents_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Value> value_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_RELOADER_H_
