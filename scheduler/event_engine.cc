#include "scheduler/event_engine.h"

#include <algorithm>
#include <cstddef>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace rally {
namespace {

using Kind = Operation::Kind;

size_t Index(Direction direction) { return static_cast<size_t>(direction); }

std::string Describe(const PhaseRun& run) {
  return absl::StrCat(run.direction == Direction::kForward ? "forward " : "backward ",
                      run.micro_batch, ", layer ", run.layer,
                      run.nano_batch == 0 ? ", ping" : ", pong");
}

}  // namespace

EventEngine::EventEngine(const SimulationInput& input, const StepProgram& program,
                         const std::vector<PhaseTable>& tables)
    : input_(input),
      program_(program),
      tables_(tables),
      ports_(&input.topology, input.costs),
      devices_(program.operations.size()),
      phases_(program.phases.size()),
      stage_inboxes_(program.stage_messages.size(), {1}),
      reducing_(program.reduce_groups.size()) {
  forecast_.devices.resize(devices_.size());
  for (int32_t rank = 0; rank < ranks(); ++rank) deaths_.push_back(DeathOf(rank));
}

StepForecast EventEngine::Run() {
  for (int32_t rank = 0; rank < ranks(); ++rank) events_.push({0.0, rank});
  for (size_t i = 0; i < input_.failures.size(); ++i) {
    events_.push(
        {input_.failures[i].seconds + input_.detection_seconds, ranks() + static_cast<int32_t>(i)});
  }
  while (!events_.empty()) {
    const Event event = events_.top();
    events_.pop();
    if (event.rank >= ranks()) {
      Detect(static_cast<size_t>(event.rank - ranks()));
      continue;
    }
    Resume(event.rank);
  }
  Close();
  return std::move(forecast_);
}

const PhaseCosts& EventEngine::CostsOf(const PhaseRun& run, int32_t table) const {
  return tables_[table][run.micro_batch][run.nano_batch];
}

const PhaseCosts::Part& EventEngine::PartOf(int32_t phase, int32_t rank) const {
  const PhaseRun& run = program_.phases[phase];
  return CostsOf(run, phases_[phase].table).parts[rank - run.first_rank];
}

void EventEngine::Resume(int32_t rank) {
  while (!devices_[rank].dead && devices_[rank].next < program_.operations[rank].size() &&
         Step(rank)) {
  }
}

bool EventEngine::Step(int32_t rank) {
  using Part = PhaseCosts::Part;
  const Operation& operation = program_.operations[rank][devices_[rank].next];
  const int32_t index = operation.index;
  switch (operation.kind) {
    case Kind::kCompute:
      return Work(rank, operation.activity, operation.seconds);
    case Kind::kPack:
      Begin(index, devices_[rank].now);
      return Work(rank, operation.activity, PartSeconds(&Part::pack_seconds, index, rank));
    case Kind::kPost:
      Post(index, rank);
      break;
    case Kind::kAwaitRequests:
      return AwaitRequests(rank, operation);
    case Kind::kAttend:
      return Work(rank, operation.activity, PartSeconds(&Part::attend_seconds, index, rank), index);
    case Kind::kReply:
      Reply(index, rank);
      break;
    case Kind::kAwaitReplies:
      return Await(rank, phases_[index].replies[rank], operation.activity);
    case Kind::kMerge:
      return Work(rank, operation.activity, PartSeconds(&Part::merge_seconds, index, rank));
    case Kind::kSendStage:
      SendStage(index);
      break;
    case Kind::kAwaitStage:
      return Await(rank, stage_inboxes_[index], operation.activity);
    case Kind::kReduce:
      return Reduce(rank, operation);
  }
  ++devices_[rank].next;
  return true;
}

double EventEngine::PartSeconds(std::array<double, kDirections> PhaseCosts::Part::*seconds,
                                int32_t phase, int32_t rank) const {
  return (PartOf(phase, rank).*seconds)[Index(program_.phases[phase].direction)];
}

// A phase that nobody has begun has no table yet: its server is told by the first post (Begin).
bool EventEngine::AwaitRequests(int32_t rank, const Operation& operation) {
  PhaseState& state = phases_[operation.index];
  if (state.table >= 0)
    return Await(rank, state.requests[rank], operation.activity, &state.delayed[rank]);
  state.requests.resize(devices_.size());
  devices_[rank].waits = &state.requests[rank];
  return false;
}

bool EventEngine::Work(int32_t rank, Activity activity, double seconds, int32_t phase) {
  Device& device = devices_[rank];
  if (!input_.speeds.empty()) seconds /= input_.speeds[rank];
  if (device.now + seconds > deaths_[rank]) {
    Die(rank);
    return false;
  }
  ++device.next;
  if (seconds <= 0.0) return true;
  Spend(rank, activity, seconds, phase);
  events_.push({device.now, rank});
  return false;
}

bool EventEngine::Await(int32_t rank, const Inbox& inbox, Activity waiting, double* travel) {
  Device& device = devices_[rank];
  if (inbox.missing > 0) {
    device.waits = &inbox;
    return false;
  }
  device.waits = nullptr;
  if (inbox.arrival > deaths_[rank]) {
    Die(rank);
    return false;
  }
  ++device.next;
  if (inbox.arrival <= device.now) return true;
  const double wait = inbox.arrival - device.now;
  const double at_work = std::clamp(inbox.sent - inbox.delayed - device.now, 0.0, wait);
  Spend(rank, waiting, at_work);
  Spend(rank, waiting == Activity::kBubble ? waiting : Activity::kCommunication, wait - at_work);
  if (travel != nullptr) *travel = wait - at_work;
  device.now = inbox.arrival;
  events_.push({device.now, rank});
  return false;
}

// Nobody goes on before everybody has come.
bool EventEngine::Reduce(int32_t rank, const Operation& operation) {
  std::vector<int32_t>& come = reducing_[operation.index];
  const ReduceGroup& group = program_.reduce_groups[operation.index];
  come.push_back(rank);
  if (static_cast<int32_t>(come.size()) < group.ranks) return false;
  const double all = devices_[rank].now;
  for (const int32_t member : come) {
    Spend(member, operation.activity, all - devices_[member].now);
    Spend(member, Activity::kReduction, group.seconds);
    ++devices_[member].next;
    events_.push({devices_[member].now, member});
  }
  return false;
}

// The first to post a phase decides who serves it.
void EventEngine::Begin(int32_t phase, double now) {
  PhaseState& state = phases_[phase];
  if (state.table >= 0) return;
  state.table = 0;
  for (const ServerFailure& failure : input_.failures) {
    if (failure.seconds + input_.detection_seconds <= now) ++state.table;
  }
  const PhaseRun& run = program_.phases[phase];
  const PhaseCosts& costs = CostsOf(run, state.table);
  state.requests.resize(devices_.size());
  state.replies.resize(devices_.size());
  state.delayed.resize(devices_.size());
  state.posted.resize(devices_.size());
  state.replied.resize(devices_.size());
  for (size_t part = 0; part < costs.parts.size(); ++part) {
    const size_t rank = part + static_cast<size_t>(run.first_rank);
    state.requests[rank].missing = static_cast<int32_t>(costs.parts[part].as_server.size());
    state.replies[rank].missing = costs.parts[part].replies[Index(run.direction)];
    if (state.requests[rank].missing == 0 && devices_[rank].waits == &state.requests[rank]) {
      devices_[rank].waits = nullptr;
      state.requests[rank].arrival = state.requests[rank].sent = now;
      events_.push({now, static_cast<int32_t>(rank)});
    }
  }
}

void EventEngine::Post(int32_t phase, int32_t rank) {
  const double now = devices_[rank].now;
  phases_[phase].posted[rank] = true;
  const PhaseRun& run = program_.phases[phase];
  const PhaseCosts& costs = CostsOf(run, phases_[phase].table);
  for (const int32_t index : costs.parts[rank - run.first_rank].as_home) {
    const Exchange& exchange = costs.exchanges[index];
    const int32_t server = exchange.server + run.first_rank;
    if (Detected(server, now)) {
      Redo(phase, exchange, now);
      continue;
    }
    Send(rank, server, exchange.request_bytes[Index(run.direction)], 0.0,
         &phases_[phase].requests[server]);
  }
}

void EventEngine::Reply(int32_t phase, int32_t rank) {
  const PhaseRun& run = program_.phases[phase];
  const PhaseCosts& costs = CostsOf(run, phases_[phase].table);
  phases_[phase].replied[rank] = true;
  for (const int32_t index : costs.parts[rank - run.first_rank].as_server) {
    const Exchange& exchange = costs.exchanges[index];
    const double bytes = exchange.reply_bytes[Index(run.direction)];
    if (bytes <= 0.0) continue;
    const int32_t home = exchange.home + run.first_rank;
    Send(rank, home, bytes, phases_[phase].delayed[rank], &phases_[phase].replies[home]);
  }
}

void EventEngine::SendStage(int32_t message) {
  const StageMessage& stage = program_.stage_messages[message];
  Send(stage.from, stage.to, stage.bytes, 0.0, &stage_inboxes_[message]);
}

void EventEngine::Send(int32_t from, int32_t to, double bytes, double delayed, Inbox* inbox) {
  const double now = devices_[from].now;
  const double arrival = ports_.Send(from, to, bytes, now);
  if (input_.timeline && from != to) {
    forecast_.timeline.push_back(
        {absl::StrCat("to ", to), from, /*message=*/true, Activity::kCommunication, now, arrival});
  }
  Arrive(to, {0, arrival, now, delayed}, inbox);
}

void EventEngine::Arrive(int32_t rank, const Inbox& message, Inbox* inbox) {
  const int32_t missing = inbox->missing - 1;
  if (message.arrival >= inbox->arrival) *inbox = message;
  inbox->missing = missing;
  if (missing > 0 || devices_[rank].waits != inbox) return;
  devices_[rank].waits = nullptr;
  events_.push({message.sent, rank});  // Await takes it to the arrival.
}

void EventEngine::Spend(int32_t rank, Activity activity, double seconds, int32_t phase) {
  if (seconds <= 0.0) return;
  Device& device = devices_[rank];
  forecast_.devices[rank].seconds[static_cast<size_t>(activity)] += seconds;
  const double begin = device.now;
  device.now += seconds;
  if (!input_.timeline) return;
  forecast_.timeline.push_back(
      {phase >= 0 ? Describe(program_.phases[phase]) : std::string(ActivityName(activity)), rank,
       /*message=*/false, activity, begin, device.now});
}

void EventEngine::Close() {
  double end = 0.0;
  for (int32_t rank = 0; rank < ranks(); ++rank) {
    const Device& device = devices_[rank];
    RALLY_CHECK(device.dead || device.next == program_.operations[rank].size(),
                "a simulated device waits for ever");
    if (!device.dead) end = std::max(end, device.now);
  }
  const Activity waiting = program_.reduce_groups.size() > 1 || program_.stage_messages.size() > 0
                               ? Activity::kBubble
                               : Activity::kImbalance;
  for (int32_t rank = 0; rank < ranks(); ++rank) Spend(rank, waiting, end - devices_[rank].now);
  forecast_.step_seconds = end;
  forecast_.link_bytes = ports_.bytes();
}

}  // namespace rally
