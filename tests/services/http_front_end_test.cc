// Callers of the HTTP port who are slow, silent or many: they cost little, and others get through.
#include "services/coordinator/http_front_end.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "services/coordinator/http_connection.h"
#include "tests/services/secure_coordinator.h"

namespace rally {
namespace {

constexpr absl::Duration kSoon = absl::Seconds(2);
constexpr absl::Duration kShort = absl::Milliseconds(200);
constexpr int kMostServed = 70;  // 64 threads, and those on their way to one.

void Pause(absl::Duration duration) {
  absl::Notification never;
  never.WaitForNotificationWithTimeout(duration);
}

int OpenFiles() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<int>(std::distance(begin(files), end(files)));
}

class HttpFrontEndTest : public SecureCoordinator {
 protected:
  void TearDown() override {
    for (const int caller : callers_) close(caller);
    SecureCoordinator::TearDown();
  }

  // `count` more connections that say `words` and then nothing.
  void AddCallers(int count, const std::string& words) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(coordinator_->http_address().port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; ++i) {
      callers_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      connect(callers_.back(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    }
    for (auto caller = callers_.end() - count; caller != callers_.end(); ++caller) {
      pollfd connected = {*caller, POLLOUT, 0};
      ASSERT_EQ(poll(&connected, 1, 5000), 1) << "connection " << caller - callers_.begin();
      ASSERT_EQ(send(*caller, words.data(), words.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(words.size()));
    }
  }

  void ExpectHealthySoon() {
    const absl::Time begin = absl::Now();
    EXPECT_EQ(Http("/healthz", client_, "Bearer " + TokenOf("viewer")), 200);
    EXPECT_LT(absl::Now() - begin, kSoon);
  }

  std::vector<int> callers_;
};

TEST_F(HttpFrontEndTest, SilentCallersCostNothing) {
  AddCallers(200, "");
  const int files = OpenFiles();
  ExpectHealthySoon();
  EXPECT_LT(OpenFiles(), files + 10);
}

TEST_F(HttpFrontEndTest, CallersThatBreakOffDoNotShutThePort) {
  AddCallers(40, "\x16\x03");  // As a handshake begins.
  ExpectHealthySoon();
}

TEST_F(HttpFrontEndTest, MoreThanItsThreadsWaitInTheKernelAndItStillStops) {
  const int files = OpenFiles();
  AddCallers(200, "\x16\x03");
  EXPECT_TRUE(Eventually([&] { return OpenFiles() >= files + 200 + 60; }));
  Pause(kShort);
  EXPECT_LE(OpenFiles(), files + 200 + kMostServed);
  const absl::Time begin = absl::Now();
  coordinator_.reset();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

class HttpConnectionTest : public testing::Test {
 protected:
  HttpConnectionTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_), 0);
    connection_ = std::make_unique<HttpConnection>(
        ends_[0], nullptr, stop_,
        HttpBounds{
            .silence = kShort, .request = 2 * kShort, .answer = kShort, .request_bytes = 10000});
  }
  ~HttpConnectionTest() override {
    connection_.reset();
    close(ends_[1]);
    close(stop_);
  }

  int ends_[2];
  const int stop_ = eventfd(0, EFD_CLOEXEC);
  std::unique_ptr<HttpConnection> connection_;
  char byte_ = 0;
};

TEST_F(HttpConnectionTest, WhatIsSentIsReadAndAnswered) {
  ASSERT_EQ(send(ends_[1], "abc", 3, 0), 3);
  shutdown(ends_[1], SHUT_WR);
  ASSERT_TRUE(connection_->Open());
  std::string text;
  while (connection_->read(&byte_, 1) == 1) text += byte_;
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(connection_->read(&byte_, 1), 0);
  EXPECT_EQ(connection_->write("answer", 6), 6);
  char answer[10];
  EXPECT_EQ(recv(ends_[1], answer, sizeof(answer), 0), 6);
}

TEST_F(HttpConnectionTest, SilenceEnds) {
  const absl::Time begin = absl::Now();
  EXPECT_FALSE(connection_->Open());
  EXPECT_GE(absl::Now() - begin, kShort - absl::Milliseconds(1));
}

TEST_F(HttpConnectionTest, ADribbleEnds) {
  const absl::Time begin = absl::Now();
  do {
    ASSERT_EQ(send(ends_[1], "x", 1, 0), 1);
    ASSERT_TRUE(absl::Now() < begin + absl::Seconds(30));
    Pause(kShort / 20);
  } while (connection_->read(&byte_, 1) == 1);
  EXPECT_GE(absl::Now() - begin, kShort);
}

TEST_F(HttpConnectionTest, ARequestWithoutEndEnds) {
  const std::string text(4000, 'x');
  int received = 0;
  do {
    if (received % 4000 == 0) {
      ASSERT_EQ(send(ends_[1], text.data(), text.size(), 0), 4000);
    }
    ASSERT_LE(++received, 20000);
  } while (connection_->read(&byte_, 1) == 1);
  EXPECT_GE(received, 10000);
}

TEST_F(HttpConnectionTest, AnAnswerThatNobodyReadsEnds) {
  const std::string text(16 << 20, 'x');
  EXPECT_EQ(connection_->write(text.data(), text.size()), -1);
}

TEST_F(HttpConnectionTest, StoppingEndsAWait) {
  ASSERT_EQ(send(ends_[1], "x", 1, 0), 1);
  ASSERT_TRUE(connection_->Open());
  ASSERT_EQ(connection_->read(&byte_, 1), 1);
  const absl::Time begin = absl::Now();
  ASSERT_EQ(eventfd_write(stop_, 1), 0);
  EXPECT_EQ(connection_->read(&byte_, 1), -1);
  EXPECT_LT(absl::Now() - begin, kShort);
}

}  // namespace
}  // namespace rally
