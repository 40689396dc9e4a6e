// Bugs put around the real core, its shell or the members, to show that the simulation finds such.
#ifndef RALLY_TESTS_SIMULATION_PLANTED_BUGS_H_
#define RALLY_TESTS_SIMULATION_PLANTED_BUGS_H_

#include "tests/simulation/parts.h"

namespace rally::simulation {

// The shell answers and sends before it has written what must survive.
Parts VisibleBeforePersistent();

// The core takes plans and members' messages of an old epoch for those of the current one.
Parts CoreBlindToEpochs();
// Members take connects, plans and commits of any epoch for those of the one they hold.
Parts MembersBlindToEpochs();

// A repeated plan is handed to the core twice.
Parts PlansTakenTwice();
// Members apply a commit as often as it comes.
Parts CommitsTakenTwice();
// Members take what they find in a later epoch for their own.
Parts LaterEpochsRestore();

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_PLANTED_BUGS_H_
