#include "services/job_file/suggestion.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(EditDistanceTest, CountsSingleLetterEdits) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("heads", "heads"), 0);
}

TEST(NearestWordTest, FindsATypoAndRefusesAStranger) {
  const std::vector<std::string> known = {"heads", "kv_heads", "head_dim", "layers"};
  EXPECT_EQ(NearestWord("head_dims", known), "head_dim");
  EXPECT_EQ(NearestWord("layer", known), "layers");
  EXPECT_EQ(NearestWord("kv_head", known), "kv_heads");
  EXPECT_EQ(NearestWord("optimizer", known), "");
  EXPECT_EQ(NearestWord("x", known), "");
}

TEST(NearestWordTest, TheFirstOfEquallyNearWordsWins) {
  EXPECT_EQ(NearestWord("beta3", std::vector<std::string>{"beta1", "beta2"}), "beta1");
}

}  // namespace
}  // namespace rally
