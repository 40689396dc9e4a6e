// Early return on error, for functions that return absl::Status or absl::StatusOr.
#ifndef RALLY_COMMON_STATUS_MACROS_H_
#define RALLY_COMMON_STATUS_MACROS_H_

#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#define RALLY_STATUS_CONCAT_INNER(a, b) a##b
#define RALLY_STATUS_CONCAT(a, b) RALLY_STATUS_CONCAT_INNER(a, b)

// Returns from the calling function when `expr` is not OK.
#define RALLY_RETURN_IF_ERROR(expr)                                                  \
  do {                                                                               \
    if (absl::Status rally_status = (expr); !rally_status.ok()) return rally_status; \
  } while (false)

// Evaluates an absl::StatusOr, returns its error, or moves its value into `lhs`.
#define RALLY_ASSIGN_OR_RETURN(lhs, expr) \
  RALLY_ASSIGN_OR_RETURN_IMPL(RALLY_STATUS_CONCAT(rally_status_or_, __LINE__), lhs, expr)
#define RALLY_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                                \
  if (!var.ok()) return std::move(var).status();    \
  lhs = *std::move(var)

namespace rally {

// `status` with "context: " put before its message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace rally

#endif  // RALLY_COMMON_STATUS_MACROS_H_
