// Safetensors: named float32 tensors in a file that Hugging Face's tools read.
//
// Format (github.com/huggingface/safetensors): uint64 little-endian header size n, then n bytes of
// JSON {"name": {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ...,
// "__metadata__": {...}}, padded with spaces so that the data begins at a multiple of 64 bytes,
// then the data, tensors back to back in row order, little-endian.
//
// Free functions, any thread. Errors name the path.
#ifndef RALLY_WORKERS_MODEL_SAFETENSORS_H_
#define RALLY_WORKERS_MODEL_SAFETENSORS_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "workers/model/still_wanted.h"

namespace rally {

struct TensorSource {
  std::string name;
  std::vector<int64_t> shape;
  absl::Span<const float> values;
};

struct TensorTarget {
  std::string name;
  std::vector<int64_t> shape;
  absl::Span<float> values;
};

// Writes a new file and makes it durable (fsync). The caller places it aside first if a reader
// could see it half written. The error of `wanted` leaves it half written.
absl::Status WriteSafetensors(const std::string& path, absl::Span<const TensorSource> tensors,
                              const StillWanted& wanted = nullptr);

// Reads every target; other tensors of the file are passed over. NotFound without the file;
// DataLoss when it is truncated or not of this format; FailedPrecondition when a tensor is missing
// or has another type or shape, naming it.
absl::Status ReadSafetensors(const std::string& path, absl::Span<const TensorTarget> tensors);

// Names of the file's tensors. Errors as of ReadSafetensors.
absl::StatusOr<std::set<std::string>> SafetensorsNames(const std::string& path);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_SAFETENSORS_H_
