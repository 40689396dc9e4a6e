#include "scheduler/check_plan.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/document_passes.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

// Pair counts of longer documents would not fit into 64 bits.
constexpr int64_t kMaxDocumentTokens = int64_t{1} << 31;

absl::Status Broken(const std::string& what) { return absl::InvalidArgumentError(what); }

std::string Rows(int64_t begin, int64_t end) { return absl::StrCat("[", begin, ", ", end, ")"); }

std::string Describe(const CaTask& task) {
  return absl::StrCat("task of document ", task.document, ", queries ",
                      Rows(task.q_begin, task.q_end), ", keys ", Rows(task.kv_begin, task.kv_end),
                      ", server ", task.server);
}

absl::Status CheckDocuments(const Plan& plan) {
  for (size_t i = 0; i < plan.documents.size(); ++i) {
    const Document& document = plan.documents[i];
    if (document.tokens < 1 || document.tokens > kMaxDocumentTokens) {
      return Broken(absl::StrCat("document ", i, " has ", document.tokens, " tokens, not [1, ",
                                 kMaxDocumentTokens, "]"));
    }
    if (document.targets != document.tokens && document.targets != document.tokens - 1) {
      return Broken(absl::StrCat("document ", i, " of ", document.tokens, " tokens has ",
                                 document.targets, " targets"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckShardFields(const Plan& plan, const MicroBatch& micro_batch) {
  if (micro_batch.chunks.size() != static_cast<size_t>(plan.workers)) {
    return Broken(
        absl::StrCat(micro_batch.chunks.size(), " chunks for ", plan.workers, " workers"));
  }
  for (const Chunk& chunk : micro_batch.chunks) {
    for (const NanoBatch& nano_batch : chunk.nano_batches) {
      for (const DocumentShard& shard : nano_batch) {
        if (shard.document < 0 || static_cast<size_t>(shard.document) >= plan.documents.size()) {
          return Broken(
              absl::StrCat("a shard of document ", shard.document, ", of ", plan.documents.size()));
        }
        if (shard.begin < 0 || shard.begin >= shard.end ||
            shard.end > plan.documents[shard.document].tokens) {
          return Broken(absl::StrCat("document ", shard.document, " of ",
                                     plan.documents[shard.document].tokens, " tokens has a shard ",
                                     Rows(shard.begin, shard.end)));
        }
      }
    }
  }
  return absl::OkStatus();
}

// The shards of each document of the micro-batch follow each other from its first token to its
// last, ping before pong.
absl::Status CheckTiling(const Plan& plan, const ShardIndex& index) {
  const std::vector<ShardPlace>& places = index.places();
  for (size_t i = 0; i < places.size(); ++i) {
    const ShardPlace& place = places[i];
    const bool first = i == 0 || places[i - 1].document != place.document;
    const bool last = i + 1 == places.size() || places[i + 1].document != place.document;
    const int64_t expected = first ? 0 : places[i - 1].end;
    if (place.begin != expected) {
      return Broken(absl::StrCat("document ", place.document, " has shards up to token ", expected,
                                 ", then one ", Rows(place.begin, place.end)));
    }
    if (last && place.end != plan.documents[place.document].tokens) {
      return Broken(absl::StrCat("document ", place.document, " of ",
                                 plan.documents[place.document].tokens,
                                 " tokens has shards up to token ", place.end));
    }
    if (!first && place.nano_batch < places[i - 1].nano_batch) {
      return Broken(absl::StrCat("document ", place.document, " has ping rows ",
                                 Rows(place.begin, place.end), " after pong rows"));
    }
  }
  return absl::OkStatus();
}

// Everything about a task that does not depend on other tasks. Its document must be tiled.
absl::Status CheckTask(const Plan& plan, const ShardIndex& index, const CaTask& task,
                       int nano_batch, AttentionMask mask) {
  if (task.server < 0 || task.server >= plan.ranks()) {
    return Broken(absl::StrCat(Describe(task), ": of ", plan.ranks(), " ranks"));
  }
  if (task.document < 0 || static_cast<size_t>(task.document) >= plan.documents.size()) {
    return Broken(absl::StrCat(Describe(task), ": of ", plan.documents.size(), " documents"));
  }
  const int64_t tokens = plan.documents[task.document].tokens;
  if (task.q_begin < 0 || task.q_begin >= task.q_end || task.q_end > tokens || task.kv_begin < 0 ||
      task.kv_begin >= task.kv_end || task.kv_end > tokens) {
    return Broken(absl::StrCat(Describe(task), ": rows outside of its ", tokens, " tokens"));
  }
  const auto queries = index.Find(task.document, task.q_begin, task.q_end);
  if (queries.size() != 1 || queries[0].nano_batch != nano_batch) {
    return Broken(
        absl::StrCat(Describe(task), ": queries are not in one shard of nano-batch ", nano_batch));
  }
  // Nano-batches do not decrease along a document, so the last key's is the latest.
  if (index.Find(task.document, task.kv_end - 1, task.kv_end)[0].nano_batch > nano_batch) {
    return Broken(absl::StrCat(Describe(task), ": keys of a later nano-batch than ", nano_batch));
  }
  if (AllowedPairs(task, mask) == 0) {
    return Broken(absl::StrCat(Describe(task), ": no pair is allowed"));
  }
  return absl::OkStatus();
}

// No pair is computed twice: trimmed to the mask, two tasks share an allowed pair exactly when
// their rectangles meet. (Were all of a common rectangle masked, it would lie above the diagonal or
// below the window as a whole, and the trimmed bounds of one of the two would leave it out.)
absl::Status CheckDisjoint(const std::vector<CaTask>& tasks, AttentionMask mask) {
  // A sweep over query rows: tasks open at q_begin and close at q_end.
  struct Event {
    int32_t document;
    int64_t row;
    bool opens;
    CaTask task;
  };
  std::vector<Event> events;
  events.reserve(2 * tasks.size());
  for (const CaTask& task : tasks) {
    const CaTask trimmed = TrimToMask(task, mask);
    events.push_back({task.document, trimmed.q_begin, true, trimmed});
    events.push_back({task.document, trimmed.q_end, false, trimmed});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.document, a.row, a.opens, a.task.kv_begin) <
           std::tie(b.document, b.row, b.opens, b.task.kv_begin);
  });
  std::map<int64_t, CaTask> open;  // By kv_begin. Disjoint key ranges of one document.
  for (const Event& event : events) {
    if (!event.opens) {
      open.erase(event.task.kv_begin);
      continue;
    }
    const auto after = open.lower_bound(event.task.kv_begin);
    const CaTask* met = nullptr;
    if (after != open.end() && after->first < event.task.kv_end) met = &after->second;
    if (after != open.begin() && std::prev(after)->second.kv_end > event.task.kv_begin) {
      met = &std::prev(after)->second;
    }
    if (met != nullptr) {
      return Broken(absl::StrCat("pairs computed twice, by a ", Describe(*met), ", and a ",
                                 Describe(event.task)));
    }
    open.emplace(event.task.kv_begin, event.task);
  }
  return absl::OkStatus();
}

// With no pair computed twice, every pair is computed when the counts agree.
absl::Status CheckComplete(const Plan& plan, const ShardIndex& index, int nano_batch,
                           const std::vector<CaTask>& tasks, AttentionMask mask) {
  std::vector<int64_t> computed(index.places().size());
  for (const CaTask& task : tasks) {
    const ShardPlace& place = index.Find(task.document, task.q_begin, task.q_end)[0];
    computed[&place - index.places().data()] += AllowedPairs(task, mask);
  }
  for (size_t i = 0; i < computed.size(); ++i) {
    const ShardPlace& place = index.places()[i];
    if (place.nano_batch != nano_batch) continue;
    const int64_t needed =
        AllowedPairs(place.begin, place.end, 0, plan.documents[place.document].tokens, mask);
    if (computed[i] != needed) {
      return Broken(absl::StrCat("document ", place.document, ", rows ",
                                 Rows(place.begin, place.end), ": ", computed[i], " of ", needed,
                                 " pairs are computed"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMicroBatch(const Plan& plan, const MicroBatch& micro_batch, AttentionMask mask,
                             DocumentPasses* passes) {
  RALLY_RETURN_IF_ERROR(CheckShardFields(plan, micro_batch));
  const ShardIndex index(micro_batch);
  RALLY_RETURN_IF_ERROR(CheckTiling(plan, index));
  RALLY_RETURN_IF_ERROR(passes->Visit(index, micro_batch.passes));
  for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
    const std::vector<CaTask>& tasks = micro_batch.tasks[nano_batch];
    for (size_t i = 0; i < tasks.size(); ++i) {
      RALLY_RETURN_IF_ERROR(Annotate(CheckTask(plan, index, tasks[i], nano_batch, mask),
                                     absl::StrCat("nano-batch ", nano_batch, " task ", i)));
    }
    RALLY_RETURN_IF_ERROR(CheckDisjoint(tasks, mask));
    RALLY_RETURN_IF_ERROR(CheckComplete(plan, index, nano_batch, tasks, mask));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPlan(const Plan& plan, AttentionMask mask) {
  if (plan.workers < 1 || plan.dedicated_servers < 0 || mask.window < 0 || plan.stages < 1 ||
      plan.workers % plan.stages != 0) {
    return Broken(absl::StrCat("a plan of ", plan.workers, " workers in ", plan.stages, " stages, ",
                               plan.dedicated_servers, " dedicated servers, window ", mask.window));
  }
  RALLY_RETURN_IF_ERROR(CheckDocuments(plan));
  DocumentPasses passes(plan);
  for (size_t i = 0; i < plan.micro_batches.size(); ++i) {
    RALLY_RETURN_IF_ERROR(Annotate(CheckMicroBatch(plan, plan.micro_batches[i], mask, &passes),
                                   absl::StrCat("micro-batch ", i)));
  }
  return passes.Finish();
}

}  // namespace rally
