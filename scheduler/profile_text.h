// The words of a profile's text form, shared by its writer and its parser.
//
// Constants; any thread.
#ifndef RALLY_SCHEDULER_PROFILE_TEXT_H_
#define RALLY_SCHEDULER_PROFILE_TEXT_H_

#include <array>

#include <absl/strings/string_view.h>

namespace rally {

inline constexpr absl::string_view kProfileVersion = "rally-profile 1";

// Indexed by Direction and by LinkClass.
inline constexpr std::array<absl::string_view, 2> kDirectionWords = {"forward", "backward"};
inline constexpr std::array<absl::string_view, 3> kLinkWords = {"same-process", "same-node",
                                                                "across-nodes"};

}  // namespace rally

#endif  // RALLY_SCHEDULER_PROFILE_TEXT_H_
