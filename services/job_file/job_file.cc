#include "services/job_file/job_file.h"

#include <algorithm>
#include <optional>
#include <sstream>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "proto/convert.h"
#include "services/job_file/scalar.h"
#include "services/job_file/suggestion.h"

namespace rally {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kIdKey[] = "id";

std::vector<std::string> FieldNames(const Descriptor& descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor.field_count(); ++i) names.push_back(descriptor.field(i)->name());
  return names;
}

// The dotted names of all fields called `leaf` below `descriptor`.
std::string FindElsewhere(const Descriptor& descriptor, absl::string_view leaf) {
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor* field = descriptor.field(i);
    if (field->name() == leaf) return field->name();
    if (field->message_type() == nullptr) continue;
    const std::string inner = FindElsewhere(*field->message_type(), leaf);
    if (!inner.empty()) return absl::StrCat(field->name(), ".", inner);
  }
  return "";
}

std::string UnknownField(const Descriptor& descriptor, const std::string& key, bool top_level) {
  std::vector<std::string> known = FieldNames(descriptor);
  if (top_level) known.push_back(kIdKey);
  std::string suggestion = NearestWord(key, known);
  if (suggestion.empty()) suggestion = FindElsewhere(*v1::JobSpec::descriptor(), key);
  if (!suggestion.empty()) return absl::StrCat("unknown field; did you mean ", suggestion, "?");
  return absl::StrCat("unknown field; known are ", absl::StrJoin(known, ", "));
}

const char* KindOf(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a mapping";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return "a single value";
    default:
      return "empty";
  }
}

// Where each document of a file begins, as YAML's parser goes over it.
class DocumentStarts final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { lines.push_back(mark.line + 1); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  std::vector<int> lines;
};

// The line on which a second document begins, or none. YAML::LoadAll would tell too, but it takes
// a file such as "," for documents without end.
std::optional<int> SecondDocument(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  while (starts.lines.size() < 2 && parser.HandleNextDocument(starts)) {
  }
  return starts.lines.size() < 2 ? std::nullopt : std::optional<int>(starts.lines[1]);
}

// Walks the YAML tree beside the message's descriptor.
class Parser {
 public:
  explicit Parser(JobFile* file) : file_(*file) {}

  absl::Status ParseDocument(const YAML::Node& root) {
    if (root.IsNull()) return Error(1, "", "the file is empty; see examples/ for job files");
    return ParseMessage(root, "", &file_.spec);
  }

 private:
  absl::Status Error(int line, const std::string& field, const std::string& what) const {
    const std::string place = absl::StrCat(file_.name, ":", line, ": ");
    return absl::InvalidArgumentError(absl::StrCat(place, field, field.empty() ? "" : ": ", what));
  }

  static int LineOf(const YAML::Node& node) { return node.Mark().line + 1; }

  absl::Status ParseMessage(const YAML::Node& node, const std::string& path, Message* message) {
    if (!node.IsMap()) {
      return Error(LineOf(node), path.empty() ? "job file" : path,
                   absl::StrCat("is ", KindOf(node), "; accepted is a mapping of ",
                                absl::StrJoin(FieldNames(*message->GetDescriptor()), ", ")));
    }
    for (const auto& entry : node) RALLY_RETURN_IF_ERROR(ParseEntry(entry, path, message));
    return absl::OkStatus();
  }

  absl::Status ParseEntry(const YAML::detail::iterator_value& entry, const std::string& path,
                          Message* message) {
    const int line = LineOf(entry.first);
    if (!entry.first.IsScalar()) {
      return Error(line, path.empty() ? "job file" : path, "a key must be a plain word");
    }
    const std::string key = entry.first.Scalar();
    const std::string name = path.empty() ? key : absl::StrCat(path, ".", key);
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(key);
    const bool is_id = path.empty() && key == kIdKey;
    if (field == nullptr && !is_id) {
      return Error(line, name, UnknownField(*message->GetDescriptor(), key, path.empty()));
    }
    const auto [first, inserted] = file_.lines.emplace(name, line);
    if (!inserted) {
      return Error(line, name, absl::StrCat("given twice, first on line ", first->second));
    }
    if (is_id) return ParseId(entry.second, line);
    if (field->message_type() != nullptr) {
      if (entry.second.IsNull()) return absl::OkStatus();  // `model:` with nothing below it.
      return ParseMessage(entry.second, name,
                          message->GetReflection()->MutableMessage(message, field));
    }
    if (!entry.second.IsScalar()) {
      return Error(line, name,
                   absl::StrCat("is ", KindOf(entry.second), "; accepted is ", AcceptedBy(*field)));
    }
    absl::Status status = SetScalar(entry.second, *field, message);
    return status.ok() ? status : Error(line, name, std::string(status.message()));
  }

  absl::Status ParseId(const YAML::Node& node, int line) {
    if (!node.IsScalar()) {
      return Error(line, kIdKey, absl::StrCat("is ", KindOf(node), "; accepted is a word"));
    }
    file_.id = node.Scalar();
    return absl::OkStatus();
  }

  JobFile& file_;
};

void EmitMessage(const Message& message, YAML::Emitter* out) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);  // Those that are set, in field order.
  for (const FieldDescriptor* field : fields) {
    *out << YAML::Key << field->name() << YAML::Value;
    if (field->message_type() == nullptr) {
      EmitScalar(message, *field, out);
      continue;
    }
    *out << YAML::BeginMap;
    EmitMessage(reflection.GetMessage(message, field), out);
    *out << YAML::EndMap;
  }
}

// A profile of one line is the path of one.
absl::Status LoadProfile(v1::JobSpec* spec) {
  const std::string& path = spec->paced().profile();
  if (path.empty() || absl::StrContains(path, '\n')) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return Annotate(text.status(), "paced.profile");
  spec->mutable_paced()->set_profile(*std::move(text));
  return absl::OkStatus();
}

}  // namespace

absl::Status JobFile::Locate(const absl::Status& status) const {
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  size_t end = 0;
  while (end < message.size() &&
         (absl::ascii_isalnum(message[end]) || message[end] == '_' || message[end] == '.')) {
    ++end;
  }
  std::string field(message.substr(0, end));
  while (!field.empty()) {
    if (const auto found = lines.find(field); found != lines.end()) {
      return Annotate(status, absl::StrCat(name, ":", found->second));
    }
    const size_t dot = field.rfind('.');
    field.resize(dot == std::string::npos ? 0 : dot);
  }
  return Annotate(status, name);
}

absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view name) {
  JobFile file;
  file.name = std::string(name);
  const size_t valid = Utf8PrefixLength(text);
  if (valid < text.size()) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(valid), '\n');
    return absl::InvalidArgumentError(absl::StrCat(name, ":", line, ": not UTF-8"));
  }
  try {
    if (const std::optional<int> line = SecondDocument(std::string(text))) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ":", *line, ": a second YAML document begins; accepted is one"));
    }
    const YAML::Node root = YAML::Load(std::string(text));
    RALLY_RETURN_IF_ERROR(Parser(&file).ParseDocument(root));
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 1 : error.mark.line + 1;
    return absl::InvalidArgumentError(absl::StrCat(name, ":", line, ": not YAML: ", error.msg));
  }
  return file;
}

absl::StatusOr<JobFile> ReadJobFile(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RALLY_ASSIGN_OR_RETURN(JobFile file, ParseJobFile(text, path));
  RALLY_RETURN_IF_ERROR(file.Locate(LoadProfile(&file.spec)));
  RALLY_RETURN_IF_ERROR(file.Locate(FromProto(file.spec).status()));
  return file;
}

std::string FormatJobFile(const v1::JobSpec& spec, absl::string_view id) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  if (!id.empty()) out << YAML::Key << kIdKey << YAML::Value << std::string(id);
  EmitMessage(spec, &out);
  out << YAML::EndMap;
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace rally
