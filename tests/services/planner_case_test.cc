#include "services/planning/planner_case.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(PlannerCaseTest, NumbersDocumentsThroughAllSequences) {
  const auto cases = ParsePlannerCases(
      R"([{"name": "a", "servers": 2, "tokens_per_worker": 8, "document_tokens": [[3, 5], [8]]}])",
      "f");
  ASSERT_TRUE(cases.ok()) << cases.status();
  const PlannerCase& one = cases->at(0);
  EXPECT_EQ(one.name, "a");
  EXPECT_EQ(one.servers, 2);
  EXPECT_EQ(one.shape, (BatchShape{8, 2, 16}));
  ASSERT_EQ(one.batch.groups.size(), 1u);
  EXPECT_EQ(one.batch.groups[0], (std::vector<Document>{{0, 0, 3, 2}, {1, 0, 5, 4}, {2, 0, 8, 7}}));
  EXPECT_FALSE(one.published_bytes_per_token.has_value());
  const PlanInput input = one.Input();
  EXPECT_EQ(input.batch, &one.batch);
  EXPECT_TRUE(input.topology.in_place);
  EXPECT_FALSE(input.ping_pong);
}

struct BadFile {
  std::string name;
  std::string text;
  std::string message;
};

class PlannerCaseErrorTest : public testing::TestWithParam<BadFile> {};

TEST_P(PlannerCaseErrorTest, NamesFileCaseFieldAndRange) {
  const absl::Status status = ParsePlannerCases(GetParam().text, "f.json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith("f.json: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

#define RALLY_CASE(fields) "[{\"name\": \"a\"" fields "}]"
#define RALLY_SIZES ", \"servers\": 2, \"tokens_per_worker\": 8"

INSTANTIATE_TEST_SUITE_P(
    Files, PlannerCaseErrorTest,
    testing::Values(
        BadFile{"NoJson", "[{", "not JSON"}, BadFile{"Empty", "[]", "not an array of cases"},
        BadFile{"Object", "{}", "{} is not an array of cases"},
        BadFile{"Number", "[7]", "case [0]: case: 7 is not an object"},
        BadFile{"NoName", "[{}]", "case [0]: name: missing"},
        BadFile{"EmptyName", R"([{"name": ""}])", "name: \"\" is not a text"},
        BadFile{"NoServers", RALLY_CASE(), "case \"a\": servers: missing; accepted is a whole"},
        BadFile{"Fraction", RALLY_CASE(", \"servers\": 2.5"),
                "servers: 2.5 is not a whole number in [1, 1024]"},
        BadFile{"Huge", RALLY_CASE(", \"servers\": 18446744073709551615"), "[1, 1024]"},
        BadFile{"Negative", RALLY_CASE(", \"servers\": -1"), "servers: -1 is not"},
        BadFile{"Text", RALLY_CASE(", \"servers\": 2, \"tokens_per_worker\": \"8\""),
                "tokens_per_worker: \"8\" is not a whole number in [1, 2147483647]"},
        BadFile{"TooMany", RALLY_CASE(", \"servers\": 2, \"tokens_per_worker\": 2147483647"),
                "above 2147483647 tokens in all"},
        BadFile{"NoDocuments", RALLY_CASE(RALLY_SIZES), "document_tokens: missing"},
        BadFile{"Flat", RALLY_CASE(RALLY_SIZES ", \"document_tokens\": [8, 8]"),
                "document_tokens[0]: 8 is not an array"},
        BadFile{"EmptyDocument", RALLY_CASE(RALLY_SIZES ", \"document_tokens\": [[16], [0]]"),
                "document_tokens[1][0]: 0 is not a whole number in [1,"},
        BadFile{"DoesNotFill", RALLY_CASE(RALLY_SIZES ", \"document_tokens\": [[8], [7]]"),
                "15 tokens in all; accepted are servers * tokens_per_worker, 16"},
        BadFile{"Published",
                RALLY_CASE(RALLY_SIZES ", \"document_tokens\": [[16]], \"distca\": {\"0.05\": "
                                       "{\"forward_bytes_per_token\": \"many\"}}"),
                "forward_bytes_per_token: \"many\" is not a number above 0"},
        BadFile{"Twice",
                R"([{"name": "a", "servers": 1, "tokens_per_worker": 1, "document_tokens": [[1]]}
                   ,{"name": "a", "servers": 1, "tokens_per_worker": 1, "document_tokens": [[1]]}
                   ])",
                "case \"a\": name: given twice"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace rally
