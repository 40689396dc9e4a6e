// ModelConfig: a model's shape as Hugging Face's config.json of LlamaForCausalLM says it, or of
// MistralForCausalLM when attention slides: the same weights, but only Mistral knows a window.
//
// Pure functions, any thread.
#ifndef RALLY_WORKERS_MODEL_MODEL_CONFIG_H_
#define RALLY_WORKERS_MODEL_MODEL_CONFIG_H_

#include <string>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

#include "scheduler/job_spec.h"

namespace rally {

// The file's text. max_position_embeddings is batch.max_document_tokens.
std::string ModelConfigText(const JobSpec& spec);

// OK when `text` describes the model of `spec`. FailedPrecondition otherwise, naming the field as
// the job file does; InvalidArgument when it is not such a file.
absl::Status CheckModelConfig(absl::string_view text, const JobSpec& spec);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_MODEL_CONFIG_H_
