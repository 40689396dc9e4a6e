#include "workers/model/safetensors.h"

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SafetensorsTest : public ::testing::Test {
 protected:
  absl::Status Read(std::vector<int64_t> shape, const std::string& name = "a") {
    int64_t elements = 1;
    for (const int64_t size : shape) elements *= size;
    values_.assign(elements, 0.0f);
    const TensorTarget target{name, shape, absl::MakeSpan(values_)};
    return ReadSafetensors(path_, absl::MakeSpan(&target, 1));
  }
  void Write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  static std::string WithHeader(const std::string& json, const std::string& data) {
    const uint64_t size = json.size();
    return std::string(reinterpret_cast<const char*>(&size), 8) + json + data;
  }

  TempDirectory directory_;
  const std::string path_ = directory_.path("x.safetensors");
  std::vector<float> values_;
};

TEST_F(SafetensorsTest, AWriteThatIsNotWantedAnyMoreEnds) {
  const std::vector<float> values(3 * kWantedBytes / sizeof(float));
  const TensorSource tensor = {"a", {static_cast<int64_t>(values.size())}, values};
  int asked = 0;
  const StillWanted wanted = [&asked] {
    return ++asked < 4 ? absl::OkStatus() : absl::CancelledError("enough");
  };
  // Asked for the size, the header, and every part of the tensor.
  EXPECT_EQ(WriteSafetensors(path_, absl::MakeSpan(&tensor, 1), wanted),
            absl::CancelledError("enough"));
  EXPECT_EQ(asked, 4);
}

TEST_F(SafetensorsTest, RoundTrip) {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::vector<float> b = {-0.0f, 1e-40f, 3e38f};
  const TensorSource tensors[] = {{"a", {2, 3}, a}, {"b.weight", {3}, b}, {"none", {0, 4}, {}}};
  ASSERT_TRUE(WriteSafetensors(path_, tensors).ok());
  ASSERT_TRUE(Read({3}, "b.weight").ok());
  EXPECT_EQ(std::memcmp(values_.data(), b.data(), sizeof(float) * 3), 0);
  ASSERT_TRUE(Read({2, 3}).ok());
  EXPECT_EQ(values_, a);
  EXPECT_TRUE(Read({0, 4}, "none").ok());
  EXPECT_THAT(*SafetensorsNames(path_), ElementsAre("a", "b.weight", "none"));
  EXPECT_EQ(Read({3, 2}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read({1}, "missing").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SafetensorsTest, DamagedFilesAreErrors) {
  EXPECT_EQ(Read({1}).code(), absl::StatusCode::kNotFound);
  const std::string good = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const struct {
    const char* what;
    std::string bytes;
  } cases[] = {
      {"empty", ""},
      {"short size", "abc"},
      {"huge header", std::string(8, '\xff')},
      {"header cut", WithHeader(good, "").substr(0, 30)},
      {"data cut", WithHeader(good, "abc")},
      {"not JSON", WithHeader("{\"a\":", "abcd")},
      {"not an object", WithHeader("[1, 2]", "abcd")},
      {"no dtype", WithHeader(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "abcd")},
      {"offsets are text",
       WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":"x"}})", "abcd")},
      {"offsets of another size",
       WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "abcdefgh")},
      {"offsets past the end",
       WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[9000,9004]}})", "abcd")},
  };
  for (const auto& one : cases) {
    Write(one.bytes);
    const absl::Status status = Read({1});
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << one.what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_)) << one.what;
  }
  Write(WithHeader(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", "ab"));
  EXPECT_EQ(Read({1}).code(), absl::StatusCode::kFailedPrecondition);
  Write(WithHeader(good, "abcd"));
  EXPECT_TRUE(Read({1}).ok());
}

}  // namespace
}  // namespace rally
