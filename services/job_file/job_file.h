// JobFile: the YAML text form of rally.v1.JobSpec, the document a user writes (docs/job-file.md).
//
// Keys are the message's field names; the values of enums are lower-case words without their
// prefix (compute_type: bfloat16). One key is the file's own: `id`, the job's id unless the command
// line gives another. Parsing checks names and types; ranges are FromProto's (proto/convert.h), and
// JobFile::Locate gives its errors their line.
//
// Pure functions but for ReadJobFile, any thread. Every error is InvalidArgument and reads
// "FILE:LINE: field: what is wrong and what is accepted".
#ifndef RALLY_SERVICES_JOB_FILE_JOB_FILE_H_
#define RALLY_SERVICES_JOB_FILE_JOB_FILE_H_

#include <map>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "rally/v1/spec.pb.h"

namespace rally {

struct JobFile {
  std::string name;                  // The file, as messages call it.
  std::string id;                    // Empty when the file has none.
  v1::JobSpec spec;                  // Only what the file says is set.
  std::map<std::string, int> lines;  // Line of every dotted field in the file, from 1.

  // An error whose message starts with a dotted field name gets "FILE:LINE: " before it: the line
  // of the field, or of the nearest mapping around it that is in the file. Others get "FILE: ".
  absl::Status Locate(const absl::Status& status) const;
};

// `name` stands for the file in messages.
absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view name);

// Reads and parses `path`, takes the text of the profile that paced.profile names, then checks
// every range. Errors of ReadFile too.
absl::StatusOr<JobFile> ReadJobFile(const std::string& path);

// The job file that ParseJobFile turns back into `spec` and `id`; an empty id is left out.
std::string FormatJobFile(const v1::JobSpec& spec, absl::string_view id);

}  // namespace rally

#endif  // RALLY_SERVICES_JOB_FILE_JOB_FILE_H_
