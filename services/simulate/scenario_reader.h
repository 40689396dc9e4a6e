// ScenarioReader: values of a YAML mapping into plain fields, with errors that name file, line and
// field.
//
// The first error is kept; what is read after it has no effect. One thread.
#ifndef RALLY_SERVICES_SIMULATE_SCENARIO_READER_H_
#define RALLY_SERVICES_SIMULATE_SCENARIO_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <yaml-cpp/yaml.h>

namespace rally {

class ScenarioReader {
 public:
  // `path` is the mapping's dotted name, empty for the file's own. `status` is shared by all
  // readers of a file.
  ScenarioReader(const YAML::Node& mapping, std::string file, std::string path,
                 absl::Status* status);

  bool ok() const { return status_.ok(); }
  bool Has(absl::string_view key) const;

  // Each leaves `value` as it is where the key is absent.
  void Read(absl::string_view key, int64_t low, int64_t high, int64_t* value);
  void Read(absl::string_view key, int64_t low, int64_t high, int32_t* value);
  void Read(absl::string_view key, double low, double high, double* value);
  void Read(absl::string_view key, bool* value);
  void Read(absl::string_view key, std::string* value);
  // A value stands for a list of one.
  void Read(absl::string_view key, int64_t low, int64_t high, std::vector<int64_t>* values);
  void Read(absl::string_view key, std::vector<std::string>* values);

  void Require(absl::string_view key);
  // The key's node; absent ones are not defined. Counts as read.
  YAML::Node Take(absl::string_view key);
  // A reader of a mapping inside this one.
  ScenarioReader Inside(absl::string_view key, const YAML::Node& mapping) const;

  // Refuses keys that nothing has read.
  void Finish();
  // An error about a key: "FILE:LINE: PATH.key: WHAT".
  void Fail(absl::string_view key, const std::string& what);

 private:
  template <typename Number>
  void ReadNumber(absl::string_view key, const YAML::Node& node, Number low, Number high,
                  const char* kind, Number* value);
  std::vector<YAML::Node> Items(absl::string_view key);

  const YAML::Node mapping_;
  const std::string file_;
  const std::string path_;
  absl::Status& status_;
  std::vector<std::string> read_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_SIMULATE_SCENARIO_READER_H_
