// EventEngine: runs the programs of all devices against each other, in simulated time.
//
// Use one object once, from one thread; what it is given is borrowed.
#ifndef RALLY_SCHEDULER_EVENT_ENGINE_H_
#define RALLY_SCHEDULER_EVENT_ENGINE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include "scheduler/device_program.h"
#include "scheduler/link_ports.h"
#include "scheduler/phase_costs.h"
#include "scheduler/simulator.h"
#include "scheduler/step_forecast.h"

namespace rally {

class EventEngine {
 public:
  // `tables[k]` holds the costs once k failures have been detected; input.failures are in the order
  // of their times.
  EventEngine(const SimulationInput& input, const StepProgram& program,
              const std::vector<PhaseTable>& tables);

  // Step seconds, seconds of activities, bytes of links, timeline.
  StepForecast Run();

 private:
  // What a rank waits for: messages that are missing, and when the last of them arrives.
  struct Inbox {
    int32_t missing = 0;
    double arrival = 0.0;
    double sent = 0.0;     // When the message that arrives last was sent,
    double delayed = 0.0;  // and for how long its sender waited for messages under way before.
  };
  struct Device {
    double now = 0.0;
    size_t next = 0;               // Operation.
    const Inbox* waits = nullptr;  // For this to fill.
    bool dead = false;
  };
  // A phase under way.
  struct PhaseState {
    int32_t table = -1;           // Index into tables_; -1: nobody has posted it.
    std::vector<Inbox> requests;  // [ranks]
    std::vector<Inbox> replies;
    std::vector<double> delayed;  // By server: seconds its requests were on their way, waited for.
    std::vector<bool> posted;     // By home: its requests are sent.
    std::vector<bool> replied;    // By server: its replies are sent.
  };
  struct Event {
    double time = 0.0;
    int32_t rank = 0;  // Or, from ranks() on, the detection of a failure.
    friend bool operator>(const Event& a, const Event& b) {
      return a.time != b.time ? a.time > b.time : a.rank > b.rank;
    }
  };

  int32_t ranks() const { return static_cast<int32_t>(devices_.size()); }
  const PhaseCosts& CostsOf(const PhaseRun& run, int32_t table) const;
  const PhaseCosts::Part& PartOf(int32_t phase, int32_t rank) const;
  // One of the part's times, in the phase's direction.
  double PartSeconds(std::array<double, kDirections> PhaseCosts::Part::*seconds, int32_t phase,
                     int32_t rank) const;

  void Resume(int32_t rank);
  // Does the device's next operation; false when it must wait for a later event.
  bool Step(int32_t rank);
  bool Work(int32_t rank, Activity activity, double seconds, int32_t phase = -1);
  bool AwaitRequests(int32_t rank, const Operation& operation);
  // `travel`, if given, gets the seconds spent waiting for what is on its way.
  bool Await(int32_t rank, const Inbox& inbox, Activity waiting, double* travel = nullptr);
  bool Reduce(int32_t rank, const Operation& operation);
  void Begin(int32_t phase, double now);
  void Post(int32_t phase, int32_t rank);
  void Reply(int32_t phase, int32_t rank);
  void SendStage(int32_t message);
  void Send(int32_t from, int32_t to, double bytes, double delayed, Inbox* inbox);
  // `message` has sent, arrival and delayed.
  void Arrive(int32_t rank, const Inbox& message, Inbox* inbox);

  // Failures.
  double DeathOf(int32_t rank) const;
  void Die(int32_t rank);
  void Detect(size_t failure);
  void Redo(int32_t phase, const Exchange& exchange, double now);
  bool Detected(int32_t rank, double now) const;

  void Spend(int32_t rank, Activity activity, double seconds, int32_t phase = -1);
  void Close();

  const SimulationInput& input_;
  const StepProgram& program_;
  const std::vector<PhaseTable>& tables_;
  LinkPorts ports_;
  std::vector<Device> devices_;
  std::vector<PhaseState> phases_;
  std::vector<Inbox> stage_inboxes_;
  std::vector<std::vector<int32_t>> reducing_;  // By group: who has come.
  std::vector<double> deaths_;                  // [ranks]
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  StepForecast forecast_;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_EVENT_ENGINE_H_
