#include "services/job_file/scalar.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"

namespace rally {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// COMPUTE_TYPE_BFLOAT16 is "bfloat16" in a job file: without the prefix that its UNSPECIFIED bears.
std::string EnumWord(const EnumDescriptor& type, int index) {
  const std::string unspecified = type.value(0)->name();
  const size_t prefix = unspecified.rfind("UNSPECIFIED");
  RALLY_CHECK(prefix != std::string::npos, "an enum's first value must be its UNSPECIFIED");
  return absl::AsciiStrToLower(type.value(index)->name().substr(prefix));
}

// Whether the text stands without quotes: "4" in quotes is a string.
bool IsPlain(const YAML::Node& node) { return node.Tag() != "!"; }

std::string Shown(const YAML::Node& node) {
  return IsPlain(node) ? node.Scalar() : absl::StrCat("\"", node.Scalar(), "\"");
}

absl::Status Refuse(const YAML::Node& node, const FieldDescriptor& field) {
  return absl::InvalidArgumentError(absl::StrCat(Shown(node), " is not ", AcceptedBy(field)));
}

bool SetEnum(const YAML::Node& node, const FieldDescriptor& field, Message* message) {
  const EnumDescriptor& type = *field.enum_type();
  for (int i = 1; i < type.value_count(); ++i) {
    if (EnumWord(type, i) != node.Scalar()) continue;
    message->GetReflection()->SetEnum(message, &field, type.value(i));
    return true;
  }
  return false;
}

bool SetBool(const YAML::Node& node, const FieldDescriptor& field, Message* message) {
  const bool value = node.Scalar() == "true";
  if (!value && node.Scalar() != "false") return false;
  message->GetReflection()->SetBool(message, &field, value);
  return true;
}

bool SetDouble(const YAML::Node& node, const FieldDescriptor& field, Message* message) {
  double value = 0;
  if (!absl::SimpleAtod(node.Scalar(), &value) || !std::isfinite(value)) return false;
  message->GetReflection()->SetDouble(message, &field, value);
  return true;
}

template <typename Integer>
bool SetInteger(const YAML::Node& node, const FieldDescriptor& field, Message* message,
                void (google::protobuf::Reflection::*set)(Message*, const FieldDescriptor*, Integer)
                    const) {
  Integer value = 0;
  if (!absl::SimpleAtoi(node.Scalar(), &value)) return false;
  (message->GetReflection()->*set)(message, &field, value);
  return true;
}

bool SetPlain(const YAML::Node& node, const FieldDescriptor& field, Message* message) {
  using google::protobuf::Reflection;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(node, field, message);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return SetDouble(node, field, message);
    case FieldDescriptor::CPPTYPE_INT32:
      return SetInteger<int32_t>(node, field, message, &Reflection::SetInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return SetInteger<int64_t>(node, field, message, &Reflection::SetInt64);
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetInteger<uint64_t>(node, field, message, &Reflection::SetUInt64);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(node, field, message);
    default:
      RALLY_CHECK(false, absl::StrCat("no text form for the type of ", field.full_name()));
  }
}

// The shortest decimal text that reads back as the same double.
std::string ShortestText(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  return std::string(buffer, end);
}

}  // namespace

std::string AcceptedBy(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> words;
      for (int i = 1; i < field.enum_type()->value_count(); ++i) {
        words.push_back(EnumWord(*field.enum_type(), i));
      }
      return absl::StrCat("one of ", absl::StrJoin(words, ", "));
    }
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat("a whole number in [", std::numeric_limits<int32_t>::min(), ", ",
                          std::numeric_limits<int32_t>::max(), "]");
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number in [0, 2^64)";
    default:
      return "a whole number in [-2^63, 2^63)";
  }
}

absl::Status SetScalar(const YAML::Node& node, const FieldDescriptor& field, Message* message) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    message->GetReflection()->SetString(message, &field, node.Scalar());
    return absl::OkStatus();
  }
  if (!IsPlain(node) || !SetPlain(node, field, message)) return Refuse(node, field);
  return absl::OkStatus();
}

void EmitScalar(const Message& message, const FieldDescriptor& field, YAML::Emitter* out) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      *out << YAML::DoubleQuoted << reflection.GetString(message, &field);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      *out << reflection.GetBool(message, &field);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      *out << ShortestText(reflection.GetDouble(message, &field));
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      *out << EnumWord(*field.enum_type(), reflection.GetEnum(message, &field)->index());
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      *out << reflection.GetInt32(message, &field);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      *out << reflection.GetUInt64(message, &field);
      break;
    default:
      *out << reflection.GetInt64(message, &field);
  }
}

}  // namespace rally
