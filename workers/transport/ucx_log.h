// Where UCX's own log lines go: to Rally's log at debug level instead of standard output.
//
// UCX writes to standard output unless told otherwise, which would spoil programs whose output is
// read by other programs. What its errors mean is decided by whoever gets the status. Thread-safe.
#ifndef RALLY_WORKERS_TRANSPORT_UCX_LOG_H_
#define RALLY_WORKERS_TRANSPORT_UCX_LOG_H_

#include <string>

namespace rally {

// Holds for the whole process and its life; later calls change nothing.
void RedirectUcxLog();

// Collects the last error UCX reports on the calling thread while it lives. One at a time.
class UcxErrorListener {
 public:
  UcxErrorListener();
  ~UcxErrorListener();
  UcxErrorListener(const UcxErrorListener&) = delete;
  UcxErrorListener& operator=(const UcxErrorListener&) = delete;

  // Empty when UCX had no complaint.
  std::string last_error() const { return last_error_; }
  void Hear(std::string error) { last_error_ = std::move(error); }

 private:
  std::string last_error_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_UCX_LOG_H_
