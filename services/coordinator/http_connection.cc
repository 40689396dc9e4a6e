#include "services/coordinator/http_connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <absl/strings/numbers.h>
#include <openssl/err.h>

namespace rally {
namespace {

constexpr size_t kMostBytesAtOnce = 1 << 30;  // OpenSSL counts in int.

using NameOf = int (*)(int, sockaddr*, socklen_t*);

void AddressOf(NameOf name_of, int socket, std::string* ip, int* port) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST];
  char service[NI_MAXSERV];
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (name_of(socket, generic, &size) != 0 ||
      getnameinfo(generic, size, host, sizeof(host), service, sizeof(service),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
      !absl::SimpleAtoi(service, port)) {
    return;
  }
  *ip = host;
}

}  // namespace

HttpConnection::HttpConnection(int socket, HttpTls* tls, int stop, const HttpBounds& bounds)
    : socket_(socket), tls_(tls), stop_(stop), bounds_(bounds) {
  fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK);
}

HttpConnection::~HttpConnection() {
  if (session_ != nullptr) {
    SSL_shutdown(session_.get());
    ERR_clear_error();
  }
  shutdown(socket_, SHUT_RDWR);
  close(socket_);
}

bool HttpConnection::Open() {
  if (!Wait(POLLIN, begin_ + bounds_.silence)) return false;
  if (tls_ == nullptr) return true;
  session_ = tls_->NewSession();
  if (session_ == nullptr || SSL_set_fd(session_.get(), socket_) != 1) return false;
  return Try(begin_ + bounds_.request, [this](short* event) {
           ERR_clear_error();
           const int result = SSL_accept(session_.get());
           *event = EventAfter(result);
           return result;
         }) == 1;
}

ssize_t HttpConnection::read(char* to, size_t size) {
  if (next_ == end_) {
    if (received_ >= bounds_.request_bytes) return -1;
    const ssize_t count =
        Try(begin_ + bounds_.request, [this](short* event) { return Receive(event); });
    if (count <= 0) return count;
    next_ = 0;
    end_ = static_cast<size_t>(count);
    received_ += end_;
  }
  const size_t count = std::min(size, end_ - next_);
  std::memcpy(to, buffer_.data() + next_, count);
  next_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* data, size_t size) {
  const absl::Time deadline = absl::Now() + bounds_.answer;
  for (size_t done = 0; done < size;) {
    const ssize_t count =
        Try(deadline, [&](short* event) { return Send(data + done, size - done, event); });
    if (count <= 0) return -1;
    done += static_cast<size_t>(count);
  }
  return static_cast<ssize_t>(size);
}

ssize_t HttpConnection::Try(absl::Time deadline, Attempt attempt) const {
  while (absl::Now() < deadline) {
    short event = 0;
    const ssize_t result = attempt(&event);
    if (event == 0) return result;
    if (!Wait(event, deadline)) return -1;
  }
  return -1;
}

bool HttpConnection::Wait(short event, absl::Time deadline) const {
  std::array<pollfd, 2> ready = {pollfd{.fd = socket_, .events = event, .revents = 0},
                                 pollfd{.fd = stop_, .events = POLLIN, .revents = 0}};
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) return false;
    const int count = poll(ready.data(), ready.size(), static_cast<int>(left));
    if (count < 0 && errno == EINTR) continue;
    return count > 0 && ready[1].revents == 0;
  }
}

ssize_t HttpConnection::Receive(short* event) {
  if (session_ != nullptr) {
    ERR_clear_error();
    const int count = SSL_read(session_.get(), buffer_.data(), static_cast<int>(buffer_.size()));
    *event = EventAfter(count);
    return count;
  }
  const ssize_t count = recv(socket_, buffer_.data(), buffer_.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) *event = POLLIN;
  return count;
}

ssize_t HttpConnection::Send(const char* data, size_t size, short* event) {
  size = std::min(size, kMostBytesAtOnce);
  if (session_ != nullptr) {
    ERR_clear_error();
    const int count = SSL_write(session_.get(), data, static_cast<int>(size));
    *event = EventAfter(count);
    return count;
  }
  const ssize_t count = send(socket_, data, size, MSG_NOSIGNAL);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) *event = POLLOUT;
  return count;
}

short HttpConnection::EventAfter(int result) const {
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    default:
      return 0;
  }
}

void HttpConnection::get_remote_ip_and_port(std::string& ip, int& port) const {
  AddressOf(&getpeername, socket_, &ip, &port);
}

void HttpConnection::get_local_ip_and_port(std::string& ip, int& port) const {
  AddressOf(&getsockname, socket_, &ip, &port);
}

}  // namespace rally
