// The plan's half of proto/convert.h.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include "common/status_macros.h"
#include "proto/convert.h"

namespace rally {
namespace {

constexpr int32_t kMaxMembers = 1024;

absl::Status Reject(absl::string_view field, int64_t value, absl::string_view range) {
  return absl::InvalidArgumentError(absl::StrCat("plan.", field, ": ", value, " is not ", range));
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Reject(field, value, absl::StrCat("in [", low, ", ", high, "]"));
}

absl::Status CheckSize(absl::string_view field, int64_t size, int64_t expected) {
  if (size == expected) return absl::OkStatus();
  return Reject(absl::StrCat(field, ".size"), size, absl::StrCat(expected));
}

absl::Status CheckRows(absl::string_view field, int64_t begin, int64_t end, int64_t tokens) {
  RALLY_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".end"), end, 1, tokens));
  return CheckRange(absl::StrCat(field, ".begin"), begin, 0, end - 1);
}

absl::Status ReadDocuments(const v1::DocumentList& list, std::vector<Document>* documents) {
  const int count = list.tokens_size();
  RALLY_RETURN_IF_ERROR(CheckSize("documents.source", list.source_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("documents.source_begin", list.source_begin_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("documents.targets", list.targets_size(), count));
  documents->reserve(count);
  for (int i = 0; i < count; ++i) {
    const Document document = {list.source(i), list.source_begin(i), list.tokens(i),
                               list.targets(i)};
    RALLY_RETURN_IF_ERROR(CheckRange("documents.source", document.source, 0, INT64_MAX));
    RALLY_RETURN_IF_ERROR(
        CheckRange("documents.source_begin", document.source_begin, 0, INT64_MAX));
    RALLY_RETURN_IF_ERROR(CheckRange("documents.tokens", document.tokens, 1, INT64_MAX));
    RALLY_RETURN_IF_ERROR(
        CheckRange("documents.targets", document.targets, document.tokens - 1, document.tokens));
    documents->push_back(document);
  }
  return absl::OkStatus();
}

absl::Status ReadShards(const v1::ShardList& list, const Plan& plan, NanoBatch* shards) {
  const int count = list.document_size();
  RALLY_RETURN_IF_ERROR(CheckSize("shards.begin", list.begin_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("shards.end", list.end_size(), count));
  shards->reserve(count);
  for (int i = 0; i < count; ++i) {
    const DocumentShard shard = {list.document(i), list.begin(i), list.end(i)};
    RALLY_RETURN_IF_ERROR(CheckRange("shards.document", shard.document, 0,
                                     static_cast<int64_t>(plan.documents.size()) - 1));
    RALLY_RETURN_IF_ERROR(
        CheckRows("shards", shard.begin, shard.end, plan.documents[shard.document].tokens));
    shards->push_back(shard);
  }
  return absl::OkStatus();
}

absl::Status ReadTasks(const v1::TaskList& list, const Plan& plan, std::vector<CaTask>* tasks) {
  const int count = list.document_size();
  RALLY_RETURN_IF_ERROR(CheckSize("tasks.q_begin", list.q_begin_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("tasks.q_end", list.q_end_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("tasks.kv_begin", list.kv_begin_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("tasks.kv_end", list.kv_end_size(), count));
  RALLY_RETURN_IF_ERROR(CheckSize("tasks.server", list.server_size(), count));
  tasks->reserve(count);
  for (int i = 0; i < count; ++i) {
    const CaTask task = {list.document(i), list.q_begin(i), list.q_end(i),
                         list.kv_begin(i), list.kv_end(i),  list.server(i)};
    RALLY_RETURN_IF_ERROR(CheckRange("tasks.document", task.document, 0,
                                     static_cast<int64_t>(plan.documents.size()) - 1));
    const int64_t tokens = plan.documents[task.document].tokens;
    RALLY_RETURN_IF_ERROR(CheckRows("tasks.q", task.q_begin, task.q_end, tokens));
    RALLY_RETURN_IF_ERROR(CheckRows("tasks.kv", task.kv_begin, task.kv_end, tokens));
    RALLY_RETURN_IF_ERROR(CheckRange("tasks.server", task.server, 0, plan.ranks() - 1));
    tasks->push_back(task);
  }
  return absl::OkStatus();
}

absl::Status ReadMicroBatch(const v1::PlanMicroBatch& message, const Plan& plan,
                            MicroBatch* micro_batch) {
  RALLY_RETURN_IF_ERROR(CheckSize("micro_batches.chunks", message.chunks_size(), plan.workers));
  RALLY_RETURN_IF_ERROR(CheckSize("micro_batches.tasks", message.tasks_size(), kNanoBatches));
  RALLY_RETURN_IF_ERROR(CheckRange("micro_batches.passes", message.passes(), 0, 2));
  micro_batch->passes = static_cast<Passes>(message.passes());
  micro_batch->chunks.resize(message.chunks_size());
  for (int worker = 0; worker < message.chunks_size(); ++worker) {
    const v1::PlanChunk& chunk = message.chunks(worker);
    RALLY_RETURN_IF_ERROR(
        CheckSize("chunks.nano_batches", chunk.nano_batches_size(), kNanoBatches));
    for (int nano = 0; nano < kNanoBatches; ++nano) {
      RALLY_RETURN_IF_ERROR(ReadShards(chunk.nano_batches(nano), plan,
                                       &micro_batch->chunks[worker].nano_batches[nano]));
    }
  }
  for (int nano = 0; nano < kNanoBatches; ++nano) {
    RALLY_RETURN_IF_ERROR(ReadTasks(message.tasks(nano), plan, &micro_batch->tasks[nano]));
  }
  return absl::OkStatus();
}

absl::Status ReadStages(const v1::Plan& message, Plan* plan) {
  if (!message.has_stages()) return absl::OkStatus();
  RALLY_RETURN_IF_ERROR(CheckRange("stages", message.stages(), 1, plan->workers));
  if (plan->workers % message.stages() != 0) {
    return Reject("stages", message.stages(), absl::StrCat("a divisor of ", plan->workers));
  }
  plan->stages = message.stages();
  return absl::OkStatus();
}

void WriteShards(const NanoBatch& shards, v1::ShardList* list) {
  for (const DocumentShard& shard : shards) {
    list->add_document(shard.document);
    list->add_begin(shard.begin);
    list->add_end(shard.end);
  }
}

void WriteTasks(const std::vector<CaTask>& tasks, v1::TaskList* list) {
  for (const CaTask& task : tasks) {
    list->add_document(task.document);
    list->add_q_begin(task.q_begin);
    list->add_q_end(task.q_end);
    list->add_kv_begin(task.kv_begin);
    list->add_kv_end(task.kv_end);
    list->add_server(task.server);
  }
}

}  // namespace

absl::StatusOr<Plan> FromProto(const v1::Plan& message) {
  RALLY_RETURN_IF_ERROR(CheckRange("round", message.round(), 0, INT64_MAX));
  RALLY_RETURN_IF_ERROR(CheckRange("step", message.step(), 0, INT64_MAX));
  RALLY_RETURN_IF_ERROR(CheckRange("kind", message.kind(), 0, 1));
  RALLY_RETURN_IF_ERROR(CheckRange("workers", message.workers(), 1, kMaxMembers));
  RALLY_RETURN_IF_ERROR(
      CheckRange("dedicated_servers", message.dedicated_servers(), 0, kMaxMembers));
  Plan plan;
  plan.round = message.round();
  plan.step = message.step();
  plan.kind = message.kind() == v1::PLAN_KIND_VALIDATE ? PlanKind::kValidate : PlanKind::kTrain;
  plan.workers = message.workers();
  plan.dedicated_servers = message.dedicated_servers();
  plan.next_position = FromProto(message.next_position());
  RALLY_RETURN_IF_ERROR(ReadStages(message, &plan));
  RALLY_RETURN_IF_ERROR(ReadDocuments(message.documents(), &plan.documents));
  plan.micro_batches.resize(message.micro_batches_size());
  for (int i = 0; i < message.micro_batches_size(); ++i) {
    RALLY_RETURN_IF_ERROR(ReadMicroBatch(message.micro_batches(i), plan, &plan.micro_batches[i]));
  }
  return plan;
}

v1::Plan ToProto(const Plan& plan) {
  v1::Plan message;
  message.set_round(plan.round);
  message.set_step(plan.step);
  message.set_kind(plan.kind == PlanKind::kValidate ? v1::PLAN_KIND_VALIDATE : v1::PLAN_KIND_TRAIN);
  message.set_workers(plan.workers);
  message.set_dedicated_servers(plan.dedicated_servers);
  *message.mutable_next_position() = ToProto(plan.next_position);
  message.set_stages(plan.stages);
  for (const Document& document : plan.documents) {
    message.mutable_documents()->add_source(document.source);
    message.mutable_documents()->add_source_begin(document.source_begin);
    message.mutable_documents()->add_tokens(document.tokens);
    message.mutable_documents()->add_targets(document.targets);
  }
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    v1::PlanMicroBatch* out = message.add_micro_batches();
    out->set_passes(static_cast<v1::Passes>(micro_batch.passes));
    for (const Chunk& chunk : micro_batch.chunks) {
      v1::PlanChunk* out_chunk = out->add_chunks();
      for (const NanoBatch& shards : chunk.nano_batches) {
        WriteShards(shards, out_chunk->add_nano_batches());
      }
    }
    for (const std::vector<CaTask>& tasks : micro_batch.tasks) {
      WriteTasks(tasks, out->add_tasks());
    }
  }
  return message;
}

DataPosition FromProto(const v1::DataPosition& message) {
  return {message.pass(), message.index(), message.token()};
}

v1::DataPosition ToProto(const DataPosition& position) {
  v1::DataPosition message;
  message.set_pass(position.pass);
  message.set_index(position.index);
  message.set_token(position.token);
  return message;
}

}  // namespace rally
