// StatusError: an absl::Status on its way through code that can only throw.
//
// Autograd functions report failures by exceptions; this one keeps the Status. It is private to
// workers/model: the trainer turns it back at its single catch.
#ifndef RALLY_WORKERS_MODEL_STATUS_ERROR_H_
#define RALLY_WORKERS_MODEL_STATUS_ERROR_H_

#include <exception>
#include <string>
#include <utility>

#include <absl/status/status.h>

namespace rally {

class StatusError final : public std::exception {
 public:
  explicit StatusError(absl::Status status)
      : status_(std::move(status)), text_(status_.ToString()) {}
  const absl::Status& status() const { return status_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  absl::Status status_;
  std::string text_;
};

inline void ThrowIfError(const absl::Status& status) {
  if (!status.ok()) throw StatusError(status);
}

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_STATUS_ERROR_H_
