// OrNull: how JSON says what is unknown.
#ifndef RALLY_SERVICES_CLI_OR_NULL_H_
#define RALLY_SERVICES_CLI_OR_NULL_H_

#include <optional>

#include <nlohmann/json.hpp>

namespace rally {

template <typename T>
nlohmann::ordered_json OrNull(const std::optional<T>& value) {
  return value.has_value() ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_OR_NULL_H_
