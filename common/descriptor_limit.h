// The number of files and connections that this process may have open.
#ifndef RALLY_COMMON_DESCRIPTOR_LIMIT_H_
#define RALLY_COMMON_DESCRIPTOR_LIMIT_H_

#include <absl/status/status.h>

namespace rally {

// Raises the soft limit, by custom 1,024, to the hard one. Errors of the system's. Children inherit
// it, and programs that use select cannot bear it: for those that start none.
absl::Status RaiseDescriptorLimit();

}  // namespace rally

#endif  // RALLY_COMMON_DESCRIPTOR_LIMIT_H_
