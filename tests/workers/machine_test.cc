#include "workers/machine.h"

#include <sched.h>

#include <gtest/gtest.h>

#include "common/host.h"

namespace rally {
namespace {

TEST(MachineTest, LoopbackIsReachedFromLoopback) {
  const auto address = AddressTowards("127.0.0.1:7070");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(*address, "127.0.0.1");
  const auto by_name = AddressTowards("localhost:7070");
  ASSERT_TRUE(by_name.ok()) << by_name.status();
}

TEST(MachineTest, NamesAreStableAndNotEmpty) {
  EXPECT_FALSE(MachineName().empty());
  EXPECT_EQ(MachineName(), MachineName());
  EXPECT_EQ(DefaultMemberId(), DefaultMemberId());
}

TEST(MachineTest, PinsToOneCoreAndRefusesOneThatIsNotThere) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  ASSERT_TRUE(PinProcess({first}).ok());
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_EQ(CPU_COUNT(&after), 1);
  EXPECT_TRUE(CPU_ISSET(first, &after));
  EXPECT_EQ(PinProcess({CPU_SETSIZE - 1}).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace rally
