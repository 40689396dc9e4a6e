#include "workers/model/model_config.h"

#include <absl/strings/str_cat.h>
#include <nlohmann/json.hpp>

namespace rally {
namespace {

nlohmann::ordered_json ConfigOf(const JobSpec& spec) {
  const ModelShape& shape = spec.model;
  nlohmann::ordered_json config;
  // Hugging Face's Llama has no sliding window; its Mistral is Llama with one.
  const bool windowed = shape.mask.window > 0;
  config["architectures"] = {windowed ? "MistralForCausalLM" : "LlamaForCausalLM"};
  config["model_type"] = windowed ? "mistral" : "llama";
  config["hidden_act"] = "silu";
  config["hidden_size"] = shape.hidden_size;
  config["intermediate_size"] = shape.feed_forward_size;
  config["num_hidden_layers"] = shape.layers;
  config["num_attention_heads"] = shape.heads;
  config["num_key_value_heads"] = shape.kv_heads;
  config["head_dim"] = shape.head_dim;
  config["vocab_size"] = shape.vocabulary;
  config["max_position_embeddings"] = spec.batch.max_document_tokens;
  config["rms_norm_eps"] = shape.rms_norm_epsilon;
  config["rope_theta"] = shape.rope_theta;
  config["tie_word_embeddings"] = shape.tie_embeddings;
  config["sliding_window"] = windowed ? nlohmann::ordered_json(shape.mask.window) : nullptr;
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  config["torch_dtype"] = "float32";
  return config;
}

// Fields that must agree, and what the job file calls them.
struct Field {
  const char* config;
  const char* job;
};
constexpr Field kFields[] = {
    {"hidden_size", "model.hidden_size"},       {"intermediate_size", "model.feed_forward_size"},
    {"num_hidden_layers", "model.layers"},      {"num_attention_heads", "model.heads"},
    {"num_key_value_heads", "model.kv_heads"},  {"head_dim", "model.head_dim"},
    {"vocab_size", "model.vocabulary"},         {"rms_norm_eps", "model.rms_norm_epsilon"},
    {"rope_theta", "model.rope_theta"},         {"tie_word_embeddings", "model.tie_embeddings"},
    {"sliding_window", "model.sliding_window"},
};

}  // namespace

std::string ModelConfigText(const JobSpec& spec) { return ConfigOf(spec).dump(2) + "\n"; }

absl::Status CheckModelConfig(absl::string_view text, const JobSpec& spec) {
  const auto found = nlohmann::ordered_json::parse(text.begin(), text.end(), nullptr, false);
  if (!found.is_object()) return absl::InvalidArgumentError("not a JSON object");
  const nlohmann::ordered_json expected = ConfigOf(spec);
  for (const Field& field : kFields) {
    const auto value = found.find(field.config);
    if (value != found.end() && *value == expected[field.config]) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        field.job, " is ", expected[field.config].dump(), " in the job but ",
        value == found.end() ? std::string("missing") : value->dump(), " in the checkpoint"));
  }
  return absl::OkStatus();
}

}  // namespace rally
