#include "proto/wire_text.h"

#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(WireTextTest, KeepsValidTextAndReplacesTheRest) {
  EXPECT_EQ(WireText("plain", 100), "plain");
  EXPECT_EQ(WireText("na\xC3\xAFve \xF0\x9F\x9A\x97", 100), "na\xC3\xAFve \xF0\x9F\x9A\x97");
  EXPECT_EQ(WireText("a\xFF\xC3", 100), "a??");
  EXPECT_EQ(WireText("\xC0\x80", 100), "??");            // Overlong.
  EXPECT_EQ(WireText("\xED\xA0\x80", 100), "???");       // A surrogate.
  EXPECT_EQ(WireText("\xF4\x90\x80\x80", 100), "????");  // Beyond the last code point.
}

TEST(WireTextTest, CutsBetweenCharacters) {
  EXPECT_EQ(WireText("ab\xC3\xAF", 3), "ab");
  EXPECT_EQ(WireText("ab\xC3\xAF", 4), "ab\xC3\xAF");
}

}  // namespace
}  // namespace rally
