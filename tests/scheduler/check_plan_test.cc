#include "scheduler/check_plan.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

using Random = std::mt19937_64;

int64_t Between(int64_t low, int64_t high, Random* random) {
  return std::uniform_int_distribution<int64_t>(low, high)(*random);
}

// Where each token of a document lies: micro-batch and nano-batch, by position.
struct TokenPlace {
  int micro_batch = -1;
  int nano_batch = -1;
  const DocumentShard* shard = nullptr;
};
using TokenPlaces = std::vector<std::vector<TokenPlace>>;

// False when a token is held twice, not at all, or out of order.
bool PlaceTokens(const Plan& plan, TokenPlaces* places) {
  for (const Document& document : plan.documents) {
    places->emplace_back(static_cast<size_t>(document.tokens));
  }
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    for (const Chunk& chunk : plan.micro_batches[m].chunks) {
      for (int n = 0; n < kNanoBatches; ++n) {
        for (const DocumentShard& shard : chunk.nano_batches[n]) {
          for (int64_t t = shard.begin; t < shard.end; ++t) {
            if (shard.document >= static_cast<int32_t>(places->size())) return false;
            auto& of_document = (*places)[shard.document];
            if (t < 0 || t >= static_cast<int64_t>(of_document.size())) return false;
            if (of_document[t].shard != nullptr) return false;
            of_document[t] = {static_cast<int>(m), n, &shard};
          }
        }
      }
    }
  }
  for (const auto& document : *places) {
    for (size_t t = 0; t < document.size(); ++t) {
      if (document[t].shard == nullptr) return false;
      if (document[t].micro_batch != document[0].micro_batch) return false;
      if (t > 0 && document[t].nano_batch < document[t - 1].nano_batch) return false;
    }
  }
  return true;
}

// Counts a task's pairs into `counts` [document][query][key]; false when a row is out of place.
bool CountTask(const Plan& plan, const TokenPlaces& places, const CaTask& task, int m, int n,
               AttentionMask mask, std::vector<std::vector<std::vector<int>>>* counts) {
  if (task.server < 0 || task.server >= plan.ranks()) return false;
  if (task.document < 0 || task.document >= static_cast<int32_t>(places.size())) return false;
  const auto& tokens = places[task.document];
  const auto size = static_cast<int64_t>(tokens.size());
  if (task.q_begin < 0 || task.q_end > size || task.q_begin >= task.q_end) return false;
  if (task.kv_begin < 0 || task.kv_end > size || task.kv_begin >= task.kv_end) return false;
  int64_t pairs = 0;
  for (int64_t q = task.q_begin; q < task.q_end; ++q) {
    if (tokens[q].shard != tokens[task.q_begin].shard) return false;
    if (tokens[q].micro_batch != m || tokens[q].nano_batch != n) return false;
    for (int64_t k = task.kv_begin; k < task.kv_end; ++k) {
      if (tokens[k].nano_batch > n) return false;
      if (k > q || (mask.window > 0 && k <= q - mask.window)) continue;
      ++(*counts)[task.document][q][k];
      ++pairs;
    }
  }
  return pairs > 0;
}

// The definition, one pair at a time.
bool IsExact(const Plan& plan, AttentionMask mask) {
  TokenPlaces places;
  if (!PlaceTokens(plan, &places)) return false;
  std::vector<std::vector<std::vector<int>>> counts;
  for (const Document& document : plan.documents) {
    counts.emplace_back(document.tokens, std::vector<int>(document.tokens));
  }
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    for (int n = 0; n < kNanoBatches; ++n) {
      for (const CaTask& task : plan.micro_batches[m].tasks[n]) {
        if (!CountTask(plan, places, task, static_cast<int>(m), n, mask, &counts)) return false;
      }
    }
  }
  for (const auto& document : counts) {
    for (size_t q = 0; q < document.size(); ++q) {
      for (size_t k = 0; k <= q; ++k) {
        const bool allowed = mask.window == 0 || k + mask.window > q;
        if (document[q][k] != (allowed ? 1 : 0)) return false;
      }
    }
  }
  return true;
}

Plan RandomPlan(AttentionMask mask, Random* random) {
  std::vector<int64_t> lengths(12);
  for (int64_t& length : lengths) length = Between(1, 14, random);
  const int64_t chunks_per_group = Between(1, 2, random);
  const BatchShape shape{9, 4, 9 * chunks_per_group};
  Plan plan = test::PackLengths(lengths, shape, /*workers=*/2, Between(0, 3, random) > 0);
  test::AssignRandomly(mask, static_cast<int32_t>(Between(0, 2, random)), random, &plan);
  return plan;
}

std::vector<CaTask>* SomeTasks(Plan* plan, Random* random) {
  std::vector<std::vector<CaTask>*> lists;
  for (MicroBatch& micro_batch : plan->micro_batches) {
    for (auto& tasks : micro_batch.tasks) {
      if (!tasks.empty()) lists.push_back(&tasks);
    }
  }
  return lists[Between(0, static_cast<int64_t>(lists.size()) - 1, random)];
}

CaTask* SomeTask(Plan* plan, Random* random) {
  std::vector<CaTask>* tasks = SomeTasks(plan, random);
  return &(*tasks)[Between(0, static_cast<int64_t>(tasks->size()) - 1, random)];
}

DocumentShard* SomeShard(Plan* plan, Random* random) {
  std::vector<DocumentShard*> shards;
  for (MicroBatch& micro_batch : plan->micro_batches) {
    for (Chunk& chunk : micro_batch.chunks) {
      for (NanoBatch& nano_batch : chunk.nano_batches) {
        for (DocumentShard& shard : nano_batch) shards.push_back(&shard);
      }
    }
  }
  return shards[Between(0, static_cast<int64_t>(shards.size()) - 1, random)];
}

int64_t Nudge(Random* random) { return Between(0, 1, random) == 0 ? -1 : 1; }

using Mutation = std::function<void(Plan*, Random*)>;

std::vector<Mutation> Mutations() {
  std::vector<Mutation> mutations;
  mutations.push_back([](Plan* plan, Random* random) {  // Drop a task.
    std::vector<CaTask>* tasks = SomeTasks(plan, random);
    std::swap((*tasks)[Between(0, static_cast<int64_t>(tasks->size()) - 1, random)], tasks->back());
    tasks->pop_back();
  });
  mutations.push_back([](Plan* plan, Random* random) {  // Compute one twice.
    std::vector<CaTask>* tasks = SomeTasks(plan, random);
    tasks->push_back((*tasks)[Between(0, static_cast<int64_t>(tasks->size()) - 1, random)]);
  });
  for (int64_t CaTask::*side :
       {&CaTask::q_begin, &CaTask::q_end, &CaTask::kv_begin, &CaTask::kv_end}) {
    mutations.push_back([side](Plan* plan, Random* random) {
      SomeTask(plan, random)->*side += Nudge(random) * Between(1, 3, random);
    });
  }
  // Slide a task: often the count of pairs stays right, some twice and some not at all.
  mutations.push_back([](Plan* plan, Random* random) {
    CaTask* task = SomeTask(plan, random);
    const int64_t rows = Nudge(random);
    task->kv_begin += rows;
    task->kv_end += rows;
  });
  mutations.push_back([](Plan* plan, Random* random) {
    CaTask* task = SomeTask(plan, random);
    const int64_t rows = Nudge(random);
    task->q_begin += rows;
    task->q_end += rows;
  });
  mutations.push_back([](Plan* plan, Random* random) {  // A server that is not there.
    SomeTask(plan, random)->server = Between(0, 1, random) == 0 ? -1 : plan->ranks();
  });
  mutations.push_back([](Plan* plan, Random* random) {  // Another document.
    SomeTask(plan, random)->document += static_cast<int32_t>(Nudge(random));
  });
  mutations.push_back([](Plan* plan, Random* random) {  // The other nano-batch's list.
    MicroBatch& micro_batch = plan->micro_batches[0];
    const int64_t from = Between(0, 1, random);
    if (micro_batch.tasks[from].empty()) return;
    micro_batch.tasks[1 - from].push_back(micro_batch.tasks[from].back());
    micro_batch.tasks[from].pop_back();
  });
  mutations.push_back([](Plan* plan, Random* random) {  // A shard that is not where it should.
    DocumentShard* shard = SomeShard(plan, random);
    (Between(0, 1, random) == 0 ? shard->begin : shard->end) += Nudge(random);
  });
  mutations.push_back([](Plan* plan, Random* random) {  // Two shards of one document swapped.
    std::swap(*SomeShard(plan, random), *SomeShard(plan, random));
  });
  mutations.push_back([](Plan* plan, Random*) {  // A document nobody holds.
    plan->documents.push_back({99, 0, 3, 3});
  });
  return mutations;
}

class CheckPlanTest : public testing::TestWithParam<int64_t> {};

TEST_P(CheckPlanTest, AgreesWithCountingEveryPair) {
  const AttentionMask mask{GetParam()};
  const std::vector<Mutation> mutations = Mutations();
  Random random(11);
  std::vector<int> refused(mutations.size());
  for (int round = 0; round < 300; ++round) {
    const Plan plan = RandomPlan(mask, &random);
    ASSERT_TRUE(IsExact(plan, mask));
    const absl::Status status = CheckPlan(plan, mask);
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < mutations.size(); ++i) {
      Plan mutant = plan;
      mutations[i](&mutant, &random);
      const bool exact = IsExact(mutant, mask);
      const absl::Status check = CheckPlan(mutant, mask);
      ASSERT_EQ(check.ok(), exact) << "mutation " << i << ": " << check;
      if (exact) continue;
      ++refused[i];
      EXPECT_EQ(check.code(), absl::StatusCode::kInvalidArgument);
    }
  }
  // Some mutations change nothing that matters, but none always.
  for (size_t i = 0; i < mutations.size(); ++i) EXPECT_GT(refused[i], 20) << "mutation " << i;
}

INSTANTIATE_TEST_SUITE_P(Windows, CheckPlanTest, testing::Values(0, 1, 2, 5));

Plan SmallPlan() {
  Random random(1);
  Plan plan = test::PackLengths({6, 5, 9, 7, 4, 5}, {9, 4, 9}, 2);
  test::AssignRandomly({}, 1, &random, &plan);
  return plan;
}

TEST(CheckPlanFieldsTest, RefusesTargetsThatCannotBe) {
  Plan plan = SmallPlan();
  ASSERT_TRUE(CheckPlan(plan, {}).ok());
  plan.documents[0].targets = plan.documents[0].tokens + 1;
  EXPECT_FALSE(CheckPlan(plan, {}).ok());
  plan.documents[0].targets = plan.documents[0].tokens - 2;
  EXPECT_FALSE(CheckPlan(plan, {}).ok());
}

TEST(CheckPlanFieldsTest, RefusesMissingChunks) {
  Plan plan = SmallPlan();
  plan.micro_batches[0].chunks.pop_back();
  EXPECT_FALSE(CheckPlan(plan, {}).ok());
}

TEST(CheckPlanFieldsTest, NamesWhatIsBroken) {
  Plan plan = SmallPlan();
  plan.micro_batches[1].tasks[0].pop_back();
  const absl::Status status = CheckPlan(plan, {});
  EXPECT_NE(status.message().find("micro-batch 1"), std::string::npos) << status;
  EXPECT_NE(status.message().find("pairs are computed"), std::string::npos) << status;
}

}  // namespace
}  // namespace rally
