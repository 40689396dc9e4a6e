// One value of a job file: YAML text to a message's field and back, by protobuf reflection.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_JOB_FILE_SCALAR_H_
#define RALLY_SERVICES_JOB_FILE_SCALAR_H_

#include <string>

#include <absl/status/status.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/yaml.h>

namespace rally {

// What a field takes, for messages: "a whole number", "true or false", "one of float32, bfloat16".
std::string AcceptedBy(const google::protobuf::FieldDescriptor& field);

// Sets `field` from a YAML scalar. InvalidArgument "VALUE is not ACCEPTED" for another type; a
// quoted number is text and no number.
absl::Status SetScalar(const YAML::Node& node, const google::protobuf::FieldDescriptor& field,
                       google::protobuf::Message* message);

// Writes the field's value so that SetScalar reads the same again.
void EmitScalar(const google::protobuf::Message& message,
                const google::protobuf::FieldDescriptor& field, YAML::Emitter* out);

}  // namespace rally

#endif  // RALLY_SERVICES_JOB_FILE_SCALAR_H_
