// Fuzzes job files: any text is refused with an error that names the file, or gives a spec that
// formats into a file of the same spec.
#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/strings/match.h>

#include "proto/convert.h"
#include "services/job_file/job_file.h"
#include "tests/fuzz/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using rally::test::FuzzCheck;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = rally::ParseJobFile(text, "job.yaml");
  if (!file.ok()) {
    FuzzCheck(absl::StartsWith(file.status().message(), "job.yaml:"),
              "an error names the file: " + std::string(file.status().message()));
    return 0;
  }
  const auto spec = rally::FromProto(file->spec);
  file->Locate(spec.status()).IgnoreError();
  if (!spec.ok()) return 0;
  const auto again = rally::ParseJobFile(rally::FormatJobFile(file->spec, file->id), "again.yaml");
  FuzzCheck(again.ok(), "a formatted job file parses: " + again.status().ToString());
  FuzzCheck(again->id == file->id, "the id stays");
  FuzzCheck(again->spec.SerializeAsString() == file->spec.SerializeAsString(), "the spec stays");
  return 0;
}
