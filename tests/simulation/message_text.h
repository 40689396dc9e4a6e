// A control message in a few words, for traces.
#ifndef RALLY_TESTS_SIMULATION_MESSAGE_TEXT_H_
#define RALLY_TESTS_SIMULATION_MESSAGE_TEXT_H_

#include <string>

#include "rally/v1/cluster.pb.h"

namespace rally::simulation {

std::string TextOf(const v1::JobEpoch& epoch);
std::string TextOf(const v1::MemberMessage& message);
std::string TextOf(const v1::CoordinatorMessage& message);

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_MESSAGE_TEXT_H_
