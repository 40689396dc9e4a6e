#include "proto/convert.h"

#include <algorithm>
#include <string>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"

namespace rally {
namespace {

// Sets `*to` when the message has the field; else the type's default stands.
#define RALLY_TAKE(message, field, to) \
  if ((message).has_##field()) (to) = (message).field()

ModelShape ModelFromProto(const v1::ModelSpec& message) {
  ModelShape model;
  RALLY_TAKE(message, layers, model.layers);
  RALLY_TAKE(message, hidden_size, model.hidden_size);
  RALLY_TAKE(message, feed_forward_size, model.feed_forward_size);
  RALLY_TAKE(message, heads, model.heads);
  RALLY_TAKE(message, kv_heads, model.kv_heads);
  RALLY_TAKE(message, head_dim, model.head_dim);
  RALLY_TAKE(message, vocabulary, model.vocabulary);
  RALLY_TAKE(message, tie_embeddings, model.tie_embeddings);
  RALLY_TAKE(message, rope_theta, model.rope_theta);
  RALLY_TAKE(message, rms_norm_epsilon, model.rms_norm_epsilon);
  RALLY_TAKE(message, sliding_window, model.mask.window);
  return model;
}

DataSpec DataFromProto(const v1::DataSpec& message) {
  DataSpec data;
  RALLY_TAKE(message, path, data.path);
  RALLY_TAKE(message, shuffle, data.shuffle);
  RALLY_TAKE(message, seed, data.seed);
  RALLY_TAKE(message, validation_fraction, data.validation_fraction);
  return data;
}

BatchShape BatchFromProto(const v1::BatchSpec& message) {
  BatchShape batch;
  RALLY_TAKE(message, chunk_tokens, batch.chunk_tokens);
  RALLY_TAKE(message, chunks, batch.chunks);
  batch.max_document_tokens = batch.chunk_tokens;
  RALLY_TAKE(message, max_document_tokens, batch.max_document_tokens);
  return batch;
}

OptimizerSpec OptimizerFromProto(const v1::OptimizerSpec& message) {
  OptimizerSpec optimizer;
  RALLY_TAKE(message, learning_rate, optimizer.learning_rate);
  optimizer.min_learning_rate = std::min(optimizer.min_learning_rate, optimizer.learning_rate);
  RALLY_TAKE(message, min_learning_rate, optimizer.min_learning_rate);
  RALLY_TAKE(message, warmup_steps, optimizer.warmup_steps);
  RALLY_TAKE(message, beta1, optimizer.beta1);
  RALLY_TAKE(message, beta2, optimizer.beta2);
  RALLY_TAKE(message, epsilon, optimizer.epsilon);
  RALLY_TAKE(message, weight_decay, optimizer.weight_decay);
  RALLY_TAKE(message, gradient_clip, optimizer.gradient_clip);
  return optimizer;
}

absl::StatusOr<TrainingSpec> TrainingFromProto(const v1::TrainingSpec& message) {
  TrainingSpec training;
  RALLY_TAKE(message, steps, training.steps);
  RALLY_TAKE(message, seed, training.seed);
  RALLY_TAKE(message, ping_pong, training.ping_pong);
  switch (message.compute_type()) {
    case v1::COMPUTE_TYPE_UNSPECIFIED:
    case v1::COMPUTE_TYPE_FLOAT32:
      training.compute_type = ComputeType::kFloat32;
      return training;
    case v1::COMPUTE_TYPE_BFLOAT16:
      training.compute_type = ComputeType::kBfloat16;
      return training;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("training.compute_type: ", static_cast<int>(message.compute_type()),
                       " is not in {FLOAT32 (1), BFLOAT16 (2)}"));
  }
}

absl::StatusOr<PlannerKind> PlannerFromProto(v1::Planner planner) {
  switch (planner) {
    case v1::PLANNER_UNSPECIFIED:
    case v1::PLANNER_RALLY:
      return PlannerKind::kRally;
    case v1::PLANNER_ARRIVAL:
      return PlannerKind::kArrival;
    case v1::PLANNER_LOCAL:
      return PlannerKind::kLocal;
    case v1::PLANNER_GREEDY:
      return PlannerKind::kGreedy;
    case v1::PLANNER_VARIABLE_LENGTH:
      return PlannerKind::kVariableLength;
    case v1::PLANNER_CONTEXT_PARALLEL:
      return PlannerKind::kContextParallel;
    case v1::PLANNER_RING:
      return PlannerKind::kRing;
    case v1::PLANNER_HYBRID:
      return PlannerKind::kHybrid;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("attention.planner: ", static_cast<int>(planner), " is not in {",
                       PlannerNames(), "} (1 to 8)"));
  }
}

v1::Planner ToProto(PlannerKind planner) {
  switch (planner) {
    case PlannerKind::kRally:
      return v1::PLANNER_RALLY;
    case PlannerKind::kArrival:
      return v1::PLANNER_ARRIVAL;
    case PlannerKind::kLocal:
      return v1::PLANNER_LOCAL;
    case PlannerKind::kGreedy:
      return v1::PLANNER_GREEDY;
    case PlannerKind::kVariableLength:
      return v1::PLANNER_VARIABLE_LENGTH;
    case PlannerKind::kContextParallel:
      return v1::PLANNER_CONTEXT_PARALLEL;
    case PlannerKind::kRing:
      return v1::PLANNER_RING;
    case PlannerKind::kHybrid:
      return v1::PLANNER_HYBRID;
  }
  return v1::PLANNER_UNSPECIFIED;
}

absl::StatusOr<AttentionSpec> AttentionFromProto(const v1::AttentionSpec& message) {
  AttentionSpec attention;
  RALLY_TAKE(message, dedicated, attention.dedicated);
  RALLY_TAKE(message, in_place, attention.in_place);
  RALLY_TAKE(message, tolerance, attention.tolerance);
  RALLY_ASSIGN_OR_RETURN(attention.planner, PlannerFromProto(message.planner()));
  return attention;
}

ValidationSpec ValidationFromProto(const v1::ValidationSpec& message) {
  ValidationSpec validation;
  RALLY_TAKE(message, every, validation.every);
  RALLY_TAKE(message, chunks, validation.chunks);
  return validation;
}

CheckpointSpec CheckpointFromProto(const v1::CheckpointSpec& message) {
  CheckpointSpec checkpoint;
  RALLY_TAKE(message, directory, checkpoint.directory);
  RALLY_TAKE(message, every, checkpoint.every);
  RALLY_TAKE(message, keep, checkpoint.keep);
  RALLY_TAKE(message, resume, checkpoint.resume);
  return checkpoint;
}

PacedSpec PacedFromProto(const v1::PacedSpec& message) {
  PacedSpec paced;
  RALLY_TAKE(message, profile, paced.profile);
  RALLY_TAKE(message, time_scale, paced.time_scale);
  RALLY_TAKE(message, message_scale, paced.message_scale);
  RALLY_TAKE(message, stages, paced.stages);
  RALLY_TAKE(message, ranks_per_node, paced.ranks_per_node);
  return paced;
}

#undef RALLY_TAKE

void ModelToProto(const ModelShape& model, v1::ModelSpec* message) {
  message->set_layers(model.layers);
  message->set_hidden_size(model.hidden_size);
  message->set_feed_forward_size(model.feed_forward_size);
  message->set_heads(model.heads);
  message->set_kv_heads(model.kv_heads);
  message->set_head_dim(model.head_dim);
  message->set_vocabulary(model.vocabulary);
  message->set_tie_embeddings(model.tie_embeddings);
  message->set_rope_theta(model.rope_theta);
  message->set_rms_norm_epsilon(model.rms_norm_epsilon);
  message->set_sliding_window(model.mask.window);
}

void OptimizerToProto(const OptimizerSpec& optimizer, v1::OptimizerSpec* message) {
  message->set_learning_rate(optimizer.learning_rate);
  message->set_min_learning_rate(optimizer.min_learning_rate);
  message->set_warmup_steps(optimizer.warmup_steps);
  message->set_beta1(optimizer.beta1);
  message->set_beta2(optimizer.beta2);
  message->set_epsilon(optimizer.epsilon);
  message->set_weight_decay(optimizer.weight_decay);
  message->set_gradient_clip(optimizer.gradient_clip);
}

void DataAndBatchToProto(const JobSpec& spec, v1::JobSpec* message) {
  v1::DataSpec* data = message->mutable_data();
  data->set_path(spec.data.path);
  data->set_shuffle(spec.data.shuffle);
  data->set_seed(spec.data.seed);
  data->set_validation_fraction(spec.data.validation_fraction);
  v1::BatchSpec* batch = message->mutable_batch();
  batch->set_chunk_tokens(spec.batch.chunk_tokens);
  batch->set_chunks(spec.batch.chunks);
  batch->set_max_document_tokens(spec.batch.max_document_tokens);
}

void RunToProto(const JobSpec& spec, v1::JobSpec* message) {
  v1::TrainingSpec* training = message->mutable_training();
  training->set_steps(spec.training.steps);
  training->set_seed(spec.training.seed);
  training->set_compute_type(spec.training.compute_type == ComputeType::kBfloat16
                                 ? v1::COMPUTE_TYPE_BFLOAT16
                                 : v1::COMPUTE_TYPE_FLOAT32);
  training->set_ping_pong(spec.training.ping_pong);
  v1::AttentionSpec* attention = message->mutable_attention();
  attention->set_dedicated(spec.attention.dedicated);
  attention->set_in_place(spec.attention.in_place);
  attention->set_tolerance(spec.attention.tolerance);
  attention->set_planner(ToProto(spec.attention.planner));
  v1::ValidationSpec* validation = message->mutable_validation();
  validation->set_every(spec.validation.every);
  validation->set_chunks(spec.validation.chunks);
  v1::CheckpointSpec* checkpoint = message->mutable_checkpoint();
  checkpoint->set_directory(spec.checkpoint.directory);
  checkpoint->set_every(spec.checkpoint.every);
  checkpoint->set_keep(spec.checkpoint.keep);
  checkpoint->set_resume(spec.checkpoint.resume);
}

void PacedToProto(const PacedSpec& paced, v1::PacedSpec* message) {
  message->set_profile(paced.profile);
  message->set_time_scale(paced.time_scale);
  message->set_message_scale(paced.message_scale);
  message->set_stages(paced.stages);
  message->set_ranks_per_node(paced.ranks_per_node);
}

}  // namespace

absl::StatusOr<JobSpec> FromProto(const v1::JobSpec& message) {
  JobSpec spec;
  spec.model = ModelFromProto(message.model());
  spec.data = DataFromProto(message.data());
  spec.batch = BatchFromProto(message.batch());
  spec.optimizer = OptimizerFromProto(message.optimizer());
  RALLY_ASSIGN_OR_RETURN(spec.training, TrainingFromProto(message.training()));
  if (message.has_workers()) spec.workers = message.workers();
  RALLY_ASSIGN_OR_RETURN(spec.attention, AttentionFromProto(message.attention()));
  spec.paced = PacedFromProto(message.paced());
  spec.validation = ValidationFromProto(message.validation());
  spec.checkpoint = CheckpointFromProto(message.checkpoint());
  if (message.has_priority()) spec.priority = message.priority();
  if (message.has_max_restarts()) spec.max_restarts = message.max_restarts();
  if (message.has_deterministic()) spec.deterministic = message.deterministic();
  if (message.has_min_workers()) spec.min_workers = message.min_workers();
  if (message.has_worker_wait_seconds()) spec.worker_wait_seconds = message.worker_wait_seconds();
  if (message.has_deadline_seconds()) spec.deadline_seconds = message.deadline_seconds();
  RALLY_RETURN_IF_ERROR(ValidateJobSpec(spec));
  return spec;
}

v1::JobSpec ToProto(const JobSpec& spec) {
  v1::JobSpec message;
  ModelToProto(spec.model, message.mutable_model());
  DataAndBatchToProto(spec, &message);
  OptimizerToProto(spec.optimizer, message.mutable_optimizer());
  RunToProto(spec, &message);
  message.set_workers(spec.workers);
  message.set_priority(spec.priority);
  message.set_max_restarts(spec.max_restarts);
  message.set_deterministic(spec.deterministic);
  message.set_min_workers(spec.fewest_workers());
  message.set_worker_wait_seconds(spec.worker_wait_seconds);
  message.set_deadline_seconds(spec.deadline_seconds);
  if (spec.paced.enabled()) PacedToProto(spec.paced, message.mutable_paced());
  return message;
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp message;
  const int64_t seconds = absl::ToUnixSeconds(time);
  message.set_seconds(seconds);
  message.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return message;
}

absl::Time FromProto(const google::protobuf::Timestamp& message) {
  return absl::FromUnixSeconds(message.seconds()) + absl::Nanoseconds(message.nanos());
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration message;
  message.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  message.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return message;
}

absl::Duration FromProto(const google::protobuf::Duration& message) {
  return absl::Seconds(message.seconds()) + absl::Nanoseconds(message.nanos());
}

}  // namespace rally
