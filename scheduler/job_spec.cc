#include "scheduler/job_spec.h"

#include <algorithm>
#include <array>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include "common/status_macros.h"
#include "scheduler/cost_model.h"

namespace rally {
namespace {

constexpr std::array<int64_t, 6> kHeadDims = {32, 64, 96, 128, 192, 256};

absl::Status Reject(absl::string_view field, absl::string_view value, absl::string_view range) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is not in ", range));
}

// `value` in [low, high].
absl::Status CheckInteger(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Reject(field, absl::StrCat(value), absl::StrCat("[", low, ", ", high, "]"));
}

enum class Bounds { kClosed, kOpenBelow, kOpenAbove };

// `value` in [low, high], (low, high] or [low, high). Not-a-number is in none.
absl::Status CheckReal(absl::string_view field, double value, double low, double high,
                       Bounds bounds) {
  const bool above = bounds == Bounds::kOpenBelow ? value > low : value >= low;
  const bool below = bounds == Bounds::kOpenAbove ? value < high : value <= high;
  if (above && below) return absl::OkStatus();
  return Reject(field, absl::StrCat(value),
                absl::StrCat(bounds == Bounds::kOpenBelow ? "(" : "[", low, ", ", high,
                             bounds == Bounds::kOpenAbove ? ")" : "]"));
}

absl::Status ValidateModel(const ModelShape& model) {
  RALLY_RETURN_IF_ERROR(CheckInteger("model.layers", model.layers, 1, 1024));
  RALLY_RETURN_IF_ERROR(CheckInteger("model.hidden_size", model.hidden_size, 8, 65536));
  RALLY_RETURN_IF_ERROR(
      CheckInteger("model.feed_forward_size", model.feed_forward_size, 8, 262144));
  RALLY_RETURN_IF_ERROR(CheckInteger("model.heads", model.heads, 1, 512));
  RALLY_RETURN_IF_ERROR(CheckInteger("model.kv_heads", model.kv_heads, 1, model.heads));
  if (model.heads % model.kv_heads != 0) {
    return Reject("model.kv_heads", absl::StrCat(model.kv_heads),
                  absl::StrCat("the divisors of model.heads, which is ", model.heads));
  }
  if (std::find(kHeadDims.begin(), kHeadDims.end(), model.head_dim) == kHeadDims.end()) {
    return Reject("model.head_dim", absl::StrCat(model.head_dim), "{32, 64, 96, 128, 192, 256}");
  }
  // 0 stands for the dataset's vocabulary.
  RALLY_RETURN_IF_ERROR(CheckInteger("model.vocabulary", model.vocabulary, 0, 1000000));
  RALLY_RETURN_IF_ERROR(
      CheckReal("model.rope_theta", model.rope_theta, 0.0, 1e9, Bounds::kOpenBelow));
  RALLY_RETURN_IF_ERROR(
      CheckReal("model.rms_norm_epsilon", model.rms_norm_epsilon, 0.0, 1.0, Bounds::kOpenBelow));
  return CheckInteger("model.sliding_window", model.mask.window, 0, int64_t{1} << 40);
}

absl::Status ValidateData(const DataSpec& data) {
  if (data.path.empty()) {
    return absl::InvalidArgumentError(
        "data.path: required: the dataset directory made by `rally data prepare`");
  }
  return CheckReal("data.validation_fraction", data.validation_fraction, 0.0, 0.5, Bounds::kClosed);
}

absl::Status ValidateBatch(const BatchShape& batch, int32_t workers) {
  RALLY_RETURN_IF_ERROR(CheckInteger("batch.chunk_tokens", batch.chunk_tokens, 16, 4194304));
  RALLY_RETURN_IF_ERROR(CheckInteger("batch.chunks", batch.chunks, 1, 65536));
  RALLY_RETURN_IF_ERROR(CheckInteger("batch.max_document_tokens", batch.max_document_tokens, 16,
                                     batch.chunk_tokens * workers));
  const int64_t fewest = batch.tokens() / batch.max_document_tokens;
  if (fewest > kMostBatchDocuments) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch.chunks: ", batch.chunks, " chunks of ", batch.chunk_tokens, " tokens are ", fewest,
        " documents of batch.max_document_tokens, which is ", batch.max_document_tokens,
        ", or more; a batch holds at most ", kMostBatchDocuments));
  }
  const int64_t span = batch.chunks_per_group();
  const auto reject = [&](absl::string_view what, int64_t count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch.max_document_tokens: ", batch.max_document_tokens, " spans ", span, " chunks of ",
        batch.chunk_tokens, " tokens, which must divide ", what, ", which is ", count));
  };
  if (workers % span != 0) return reject("workers", workers);
  if (batch.chunks % span != 0) return reject("batch.chunks", batch.chunks);
  return absl::OkStatus();
}

// A run on fewer workers must pass ValidateBatch as well.
absl::Status ValidateMinWorkers(const JobSpec& spec) {
  const int32_t fewest = spec.fewest_workers();
  RALLY_RETURN_IF_ERROR(CheckInteger("min_workers", fewest, 1, spec.workers));
  if (fewest == spec.workers) return absl::OkStatus();
  if (spec.paced.enabled()) {
    return absl::InvalidArgumentError(
        absl::StrCat("min_workers: ", fewest, " is not ", spec.workers,
                     ", which is workers: a paced job has its devices or none"));
  }
  const int64_t span = spec.batch.chunks_per_group();
  if (fewest % span == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("min_workers: ", fewest, " is not a multiple of ", span,
                   ", the chunks that batch.max_document_tokens spans"));
}

absl::Status ValidateOptimizer(const OptimizerSpec& optimizer) {
  RALLY_RETURN_IF_ERROR(
      CheckReal("optimizer.learning_rate", optimizer.learning_rate, 0.0, 10.0, Bounds::kOpenBelow));
  RALLY_RETURN_IF_ERROR(CheckReal("optimizer.min_learning_rate", optimizer.min_learning_rate, 0.0,
                                  optimizer.learning_rate, Bounds::kClosed));
  RALLY_RETURN_IF_ERROR(
      CheckInteger("optimizer.warmup_steps", optimizer.warmup_steps, 0, 10000000));
  RALLY_RETURN_IF_ERROR(
      CheckReal("optimizer.beta1", optimizer.beta1, 0.0, 1.0, Bounds::kOpenAbove));
  RALLY_RETURN_IF_ERROR(
      CheckReal("optimizer.beta2", optimizer.beta2, 0.0, 1.0, Bounds::kOpenAbove));
  RALLY_RETURN_IF_ERROR(
      CheckReal("optimizer.epsilon", optimizer.epsilon, 0.0, 1.0, Bounds::kOpenBelow));
  RALLY_RETURN_IF_ERROR(
      CheckReal("optimizer.weight_decay", optimizer.weight_decay, 0.0, 10.0, Bounds::kClosed));
  return CheckReal("optimizer.gradient_clip", optimizer.gradient_clip, 0.0, 1e6, Bounds::kClosed);
}

absl::Status ValidatePaced(const JobSpec& spec) {
  const PacedSpec& paced = spec.paced;
  RALLY_RETURN_IF_ERROR(
      CheckReal("paced.time_scale", paced.time_scale, 0.0, 1e6, Bounds::kOpenBelow));
  RALLY_RETURN_IF_ERROR(
      CheckReal("paced.message_scale", paced.message_scale, 0.0, 1.0, Bounds::kClosed));
  RALLY_RETURN_IF_ERROR(CheckInteger("paced.ranks_per_node", paced.ranks_per_node, 0, 4096));
  RALLY_RETURN_IF_ERROR(CheckInteger("paced.stages", paced.stages, 1, spec.workers));
  for (const auto& [name, count] : {std::pair<absl::string_view, int64_t>{"workers", spec.workers},
                                    {"model.layers", spec.model.layers}}) {
    if (count % paced.stages == 0) continue;
    return Reject("paced.stages", absl::StrCat(paced.stages),
                  absl::StrCat("the divisors of ", name, ", which is ", count));
  }
  if (paced.enabled()) return Annotate(CostModel::Parse(paced.profile).status(), "paced.profile");
  if (paced.stages == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "paced.profile: required when paced.stages is ", paced.stages,
      ": only a paced job has pipeline stages, a worker that trains holds every layer"));
}

absl::Status ValidateCheckpoint(const CheckpointSpec& checkpoint) {
  RALLY_RETURN_IF_ERROR(CheckInteger("checkpoint.every", checkpoint.every, 0, 10000000));
  RALLY_RETURN_IF_ERROR(CheckInteger("checkpoint.keep", checkpoint.keep, 1, 10000));
  if (!checkpoint.directory.empty()) return absl::OkStatus();
  if (checkpoint.every > 0 || checkpoint.resume) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint.directory: required when checkpoint.",
                     checkpoint.resume ? "resume is true" : "every is above 0"));
  }
  return absl::OkStatus();
}

}  // namespace

int32_t JobSpec::AllowedWorkers(int64_t available) const {
  if (available >= workers) return workers;
  const int64_t allowed = available - available % batch.chunks_per_group();
  return allowed >= fewest_workers() ? static_cast<int32_t>(allowed) : 0;
}

absl::Status ValidateJobSpec(const JobSpec& spec) {
  RALLY_RETURN_IF_ERROR(ValidateModel(spec.model));
  RALLY_RETURN_IF_ERROR(ValidateData(spec.data));
  RALLY_RETURN_IF_ERROR(CheckInteger("workers", spec.workers, 1, 1024));
  RALLY_RETURN_IF_ERROR(ValidatePaced(spec));
  RALLY_RETURN_IF_ERROR(ValidateBatch(spec.batch, spec.replicas()));
  RALLY_RETURN_IF_ERROR(ValidateMinWorkers(spec));
  RALLY_RETURN_IF_ERROR(CheckInteger("worker_wait_seconds", spec.worker_wait_seconds, 0, 86400));
  RALLY_RETURN_IF_ERROR(CheckInteger("deadline_seconds", spec.deadline_seconds, 0, 1000000000));
  RALLY_RETURN_IF_ERROR(ValidateOptimizer(spec.optimizer));
  RALLY_RETURN_IF_ERROR(CheckInteger("training.steps", spec.training.steps, 1, 10000000));
  RALLY_RETURN_IF_ERROR(CheckInteger("attention.dedicated", spec.attention.dedicated, 0, 1024));
  RALLY_RETURN_IF_ERROR(
      CheckReal("attention.tolerance", spec.attention.tolerance, 0.0, 1.0, Bounds::kOpenBelow));
  RALLY_RETURN_IF_ERROR(CheckInteger("validation.every", spec.validation.every, 0, 10000000));
  RALLY_RETURN_IF_ERROR(CheckInteger("validation.chunks", spec.validation.chunks, 1, 65536));
  RALLY_RETURN_IF_ERROR(ValidateCheckpoint(spec.checkpoint));
  RALLY_RETURN_IF_ERROR(CheckInteger("priority", spec.priority, -1000, 1000));
  return CheckInteger("max_restarts", spec.max_restarts, 0, 1000);
}

}  // namespace rally
