#include "workers/transport/tag.h"

#include <cstdint>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(TagTest, EncodesTheDocumentedLayout) {
  Tag tag;
  tag.source = 1;
  EXPECT_EQ(tag.Encode(), uint64_t{1});
  tag = {.kind = MessageKind::kReply};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 12);
  tag = {.backward = true};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 14);
  tag = {.nano_batch = 1};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 15);
  tag = {.layer = 1};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 16);
  tag = {.micro_batch = 1};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 26);
  tag = {.round = 1};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 36);
  tag = {.epoch = 1};
  EXPECT_EQ(tag.Encode(), uint64_t{1} << 54);
}

TEST(TagTest, LargestValuesFillAllBits) {
  Tag tag = {.epoch = 1023,
             .round = (1 << 18) - 1,
             .micro_batch = kMaxMicroBatches - 1,
             .layer = kMaxLayers - 1,
             .nano_batch = 1,
             .backward = true,
             .kind = static_cast<MessageKind>(3),
             .source = kMaxRanks - 1};
  EXPECT_EQ(tag.Encode(), ~uint64_t{0});
}

TEST(TagTest, EpochAndRoundWrapWithoutTouchingTheRest) {
  Tag tag = {.epoch = 1024 + 5, .round = (int64_t{1} << 18) + 7, .layer = 3, .source = 2};
  Tag wrapped = {.epoch = 5, .round = 7, .layer = 3, .source = 2};
  EXPECT_EQ(tag.Encode(), wrapped.Encode());
}

TEST(TagTest, FieldsDoNotCollide) {
  std::set<uint64_t> codes;
  size_t count = 0;
  for (uint32_t epoch : {1u, 2u})
    for (int64_t round : {0, 1, 70000})
      for (int32_t layer : {0, 1, 31})
        for (int32_t nano_batch : {0, 1})
          for (bool backward : {false, true})
            for (MessageKind kind : {MessageKind::kRequest, MessageKind::kReply})
              for (int32_t source : {0, 1, 4095}) {
                Tag tag = {epoch, round, 0, layer, nano_batch, backward, kind, source};
                codes.insert(tag.Encode());
                ++count;
              }
  EXPECT_EQ(codes.size(), count);
}

TEST(TagTest, ReadsWell) {
  Tag tag = {.epoch = 1, .round = 7, .layer = 3, .source = 2};
  EXPECT_EQ(tag.ToString(), "epoch 1 round 7 micro-batch 0 layer 3 ping forward request from 2");
  tag = {.nano_batch = 1, .backward = true, .kind = MessageKind::kReply};
  EXPECT_EQ(tag.ToString(), "epoch 0 round 0 micro-batch 0 layer 0 pong backward reply from 0");
}

}  // namespace
}  // namespace rally
