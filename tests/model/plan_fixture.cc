#include "tests/model/plan_fixture.h"

#include <numeric>
#include <string>

#include "common/check.h"
#include "scheduler/batch_sampler.h"
#include "scheduler/check_plan.h"
#include "scheduler/packing.h"

namespace rally::testing {

JobSpec TinyJob() {
  JobSpec spec;
  spec.model.layers = 2;
  spec.model.hidden_size = 32;
  spec.model.feed_forward_size = 48;
  spec.model.heads = 4;
  spec.model.kv_heads = 2;
  spec.model.head_dim = 32;
  spec.model.vocabulary = 32;
  spec.batch.chunk_tokens = 64;
  spec.batch.chunks = 2;
  spec.batch.max_document_tokens = 64;
  spec.optimizer.learning_rate = 1e-2;
  spec.optimizer.warmup_steps = 5;
  spec.training.steps = 60;
  spec.data.path = "unused";
  return spec;
}

int32_t Corpus::TokenAt(int64_t source, int64_t index) const {
  const uint64_t mixed =
      (static_cast<uint64_t>(source) * 1000003 + static_cast<uint64_t>(index)) * 0x9E3779B97F4A7C15;
  const bool noise = (mixed >> 60) == 0;
  return static_cast<int32_t>((noise ? mixed >> 32 : source + 5 * index) % vocabulary);
}

ReadTokens Corpus::Reader() const {
  return [corpus = *this](int64_t source, int64_t begin, absl::Span<int32_t> out) {
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t index = begin + static_cast<int64_t>(i);
      if (index >= corpus.lengths[source]) return absl::OutOfRangeError("past the document's end");
      out[i] = corpus.TokenAt(source, index);
    }
    return absl::OkStatus();
  };
}

std::shared_ptr<Plan> MakePlan(const JobSpec& spec, const Corpus& corpus, int64_t step,
                               const DataPosition& position, PlanKind kind, PlannerKind planner) {
  std::vector<int64_t> sources(corpus.lengths.size());
  std::iota(sources.begin(), sources.end(), 0);
  BatchSampler sampler(corpus.lengths, sources, spec.batch, spec.data.seed, spec.data.shuffle);
  const GlobalBatch batch = *sampler.Sample(position);
  PlannerOptions options;
  options.query_granularity = 8;  // Tiny documents are to be cut too.
  PlanInput input;
  input.batch = &batch;
  input.shape = spec.batch;
  input.topology = spec.topology();
  input.model = spec.model;
  input.ping_pong = spec.training.ping_pong;
  auto planned = MakePlanner(planner, options)->MakePlan(input);
  RALLY_CHECK(planned.ok(), planned.status().ToString());
  Plan* const plan = &planned->plan;
  plan->round = step - 1;
  plan->step = step;
  plan->kind = kind;
  const absl::Status checked = CheckPlan(*plan, spec.model.mask);
  RALLY_CHECK(checked.ok(), checked.ToString());
  return std::make_shared<Plan>(std::move(*plan));
}

}  // namespace rally::testing
