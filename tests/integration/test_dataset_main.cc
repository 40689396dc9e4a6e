// rally-test-dataset DIRECTORY LENGTH...: a byte dataset of documents of these lengths in tokens,
// end_of_document counted. What no text gives: documents of one token.
#include <cstdint>
#include <iostream>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/numbers.h>

#include "common/dataset_writer.h"
#include "common/status_macros.h"

namespace rally {
namespace {

absl::Status Write(int argc, char** argv) {
  if (argc < 3) return absl::InvalidArgumentError("needs a directory and lengths");
  const DatasetInfo info{.vocabulary = 257, .tokenizer = "bytes", .end_of_document = 256};
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<DatasetWriter> writer,
                         DatasetWriter::Create(argv[1], info));
  for (int i = 2; i < argc; ++i) {
    int64_t length = 0;
    if (!absl::SimpleAtoi(argv[i], &length) || length < 1) {
      return absl::InvalidArgumentError("a length is at least 1");
    }
    RALLY_RETURN_IF_ERROR(writer->Add(std::vector<int32_t>(length - 1, 'a')));
  }
  return writer->Finish().status();
}

}  // namespace
}  // namespace rally

int main(int argc, char** argv) {
  const absl::Status status = rally::Write(argc, argv);
  if (!status.ok()) std::cerr << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
