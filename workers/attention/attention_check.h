// CheckAttention: what a kernel asks of its arguments, in words a user can act on.
//
// InvalidArgument names the field, its value and what is accepted. Thread-safe.
#ifndef RALLY_WORKERS_ATTENTION_ATTENTION_CHECK_H_
#define RALLY_WORKERS_ATTENTION_ATTENTION_CHECK_H_

#include <absl/status/status.h>
#include <absl/types/span.h>

#include "workers/attention/attention_kernel.h"

namespace rally {

absl::Status CheckForward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks);
absl::Status CheckBackward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks);

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_ATTENTION_CHECK_H_
