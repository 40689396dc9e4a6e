// HttpConnection: where httplib reads one request and writes its answer, over TCP or TLS.
//
// Bounded whatever the caller does, however slowly he does it, by HttpBounds. Whatever waits fails
// when `stop` becomes readable. One thread.
#ifndef RALLY_SERVICES_COORDINATOR_HTTP_CONNECTION_H_
#define RALLY_SERVICES_COORDINATOR_HTTP_CONNECTION_H_

#include <array>
#include <cstddef>
#include <string>

#include <absl/functional/function_ref.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <httplib.h>

#include "services/coordinator/http_tls.h"

namespace rally {

struct HttpBounds {
  absl::Duration silence = absl::Seconds(2);   // Until the first byte.
  absl::Duration request = absl::Seconds(10);  // Until the handshake and the request are there.
  absl::Duration answer = absl::Seconds(10);   // Until a part of the answer has gone.
  size_t request_bytes = 128 << 10;
};

class HttpConnection final : public httplib::Stream {
 public:
  // `socket` is this object's from now on. `tls`, null for plain HTTP, and `stop` are borrowed.
  HttpConnection(int socket, HttpTls* tls, int stop, const HttpBounds& bounds = {});
  ~HttpConnection() override;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Waits for the caller and shakes hands with him. False when he is not worth more time.
  bool Open();
  // Of a connection that is open; null for plain HTTP.
  const SSL* tls() const { return session_.get(); }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  // Bytes, at least one; 0 at the end of what the caller sends, -1 on failure.
  ssize_t read(char* to, size_t size) override;
  // All of `size`, or -1.
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  // One attempt at something: its result, and in `event` what to poll for before the next attempt,
  // or 0 when there should be none.
  using Attempt = absl::FunctionRef<ssize_t(short* event)>;

  // The last attempt's result, or -1 once the deadline has passed.
  ssize_t Try(absl::Time deadline, Attempt attempt) const;
  bool Wait(short event, absl::Time deadline) const;
  ssize_t Receive(short* event);
  ssize_t Send(const char* data, size_t size, short* event);
  // Of what a call of OpenSSL's has returned.
  short EventAfter(int result) const;

  const int socket_;
  HttpTls* const tls_;
  const int stop_;
  const HttpBounds bounds_;
  const absl::Time begin_ = absl::Now();
  HttpTls::Session session_;
  std::array<char, 4096> buffer_;  // What has been received; [next_, end_) is still to be read.
  size_t next_ = 0;
  size_t end_ = 0;
  size_t received_ = 0;  // In all, bytes.
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_HTTP_CONNECTION_H_
