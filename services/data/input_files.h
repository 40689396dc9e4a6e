// The text files a dataset is made of.
//
// Free functions of the file system's state; any thread.
#ifndef RALLY_SERVICES_DATA_INPUT_FILES_H_
#define RALLY_SERVICES_DATA_INPUT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace rally {

enum class InputKind { kText, kJsonLines };

struct InputFile {
  std::string path;
  InputKind kind = InputKind::kText;
  int64_t bytes = 0;
};

// `inputs` in their order, folders replaced by the .txt and .jsonl files below them, ordered by
// path, hidden names skipped, links to folders not followed. NotFound for a path that does not
// exist; InvalidArgument for a file of another kind and for a folder without any.
absl::StatusOr<std::vector<InputFile>> ListInputFiles(const std::vector<std::string>& inputs);

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_INPUT_FILES_H_
