#include "tests/bench/bench_coordinator.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/dataset_writer.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "scheduler/integer_math.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/store.h"

namespace rally::bench {
namespace {

constexpr int kEventsOfAJob = 30;
constexpr int kDocuments = 4000;

// Heavy-tailed lengths: 64 to 16,384 tokens.
absl::Status WriteDataset(const std::string& path) {
  DatasetInfo info;
  info.vocabulary = 257;
  info.tokenizer = "bytes";
  info.end_of_document = 256;
  RALLY_ASSIGN_OR_RETURN(auto writer, DatasetWriter::Create(path, info));
  for (uint64_t i = 0; i < kDocuments; ++i) {
    const uint64_t draw = MixBits(i + 1);
    const size_t tokens = size_t{64} << __builtin_ctzll(draw | 0x100);
    RALLY_RETURN_IF_ERROR(writer->Add(std::vector<int32_t>(tokens, 65)));
  }
  return writer->Finish().status();
}

v1::Job EndedJob(const std::string& id, const JobSpec& spec, absl::Time time) {
  v1::Job job;
  job.set_job_id(id);
  *job.mutable_spec() = ToProto(spec);
  *job.mutable_create_time() = ToProto(time);
  *job.mutable_start_time() = ToProto(time + absl::Seconds(1));
  *job.mutable_end_time() = ToProto(time + absl::Minutes(5));
  v1::JobStatus* status = job.mutable_status();
  status->set_phase(v1::JOB_PHASE_SUCCEEDED);
  status->set_epoch(1);
  status->set_step(spec.training.steps);
  status->set_total_steps(spec.training.steps);
  for (const char* type : {"Scheduled", "Ready", "Progressing", "Completed"}) {
    SetCondition(status, type, true, "Succeeded", "all steps are done", time);
  }
  return job;
}

// The actions that the coordinator would have persisted for such a job.
void AppendJob(const v1::Job& job, std::vector<Action>* actions) {
  actions->push_back(PersistJob{job});
  for (int sequence = 1; sequence <= kEventsOfAJob; ++sequence) {
    v1::JobEvent event;
    event.set_sequence(sequence);
    *event.mutable_time() = job.start_time();
    if (sequence % 10 == 0) {
      *event.mutable_status() = job.status();
    } else {
      event.mutable_step()->set_step(sequence);
      event.mutable_step()->set_loss(1.0);
      event.mutable_step()->set_tokens(1 << 20);
    }
    actions->push_back(AppendJobEvent{job.job_id(), std::move(event)});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<BenchCoordinator>> BenchCoordinator::Start(int stored_jobs) {
  std::string folder = (std::filesystem::temp_directory_path() / "rally-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, "make", folder);
  std::unique_ptr<BenchCoordinator> coordinator(new BenchCoordinator(folder));
  RALLY_RETURN_IF_ERROR(WriteDataset(coordinator->dataset()));
  RALLY_RETURN_IF_ERROR(coordinator->Fill(stored_jobs));
  RALLY_RETURN_IF_ERROR(coordinator->Launch(stored_jobs));
  return coordinator;
}

BenchCoordinator::~BenchCoordinator() {
  program_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::Status BenchCoordinator::Fill(int stored_jobs) {
  RALLY_ASSIGN_OR_RETURN(const auto store, Store::Open(folder_ + "/coordinator"));
  JobSpec spec;
  spec.data.path = dataset();
  spec.model.vocabulary = 257;
  const absl::Time first = absl::Now() - absl::Hours(24 * 30);
  std::vector<Action> actions;
  for (int i = 0; i < stored_jobs; ++i) {
    AppendJob(EndedJob(absl::StrCat("stored-", i), spec, first + absl::Minutes(i)), &actions);
    if (i % 1000 != 999 && i + 1 != stored_jobs) continue;
    RALLY_RETURN_IF_ERROR(store->Write(actions));
    actions.clear();
  }
  return absl::OkStatus();
}

absl::Status BenchCoordinator::Launch(int stored_jobs) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  const std::string address_file = folder_ + "/address.json";
  program_ = std::make_unique<Program>(
      std::vector<std::string>{self + "/rally-coordinator", "--listen=127.0.0.1:0",
                               "--http=127.0.0.1:0", "--data-dir=" + folder_ + "/coordinator",
                               absl::StrCat("--keep-jobs=", stored_jobs), "--log-level=warning",
                               "--address-file=" + address_file},
      folder_ + "/output.txt");
  for (const absl::Time deadline = absl::Now() + absl::Seconds(60); absl::Now() < deadline;
       absl::SleepFor(absl::Milliseconds(20))) {
    const auto text = ReadFile(address_file);
    const auto json = nlohmann::json::parse(text.value_or(""), nullptr, false);
    if (!json.is_object()) continue;
    address_ = json.at("grpc").get<std::string>();
    pid_ = json.at("pid").get<int64_t>();
    return absl::OkStatus();
  }
  return absl::InternalError("rally-coordinator does not serve: " + program_->Output());
}

int64_t BenchCoordinator::ResidentBytes() const {
  std::ifstream file(absl::StrCat("/proc/", pid_, "/statm"));
  int64_t size = 0;
  int64_t resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

double BenchCoordinator::ProcessorSeconds() const {
  std::ifstream file(absl::StrCat("/proc/", pid_, "/stat"));
  std::string field;
  for (int i = 0; i < 13; ++i) file >> field;
  double user = 0.0;
  double system = 0.0;
  file >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

absl::Status BenchCoordinator::Stop() {
  program_->Signal(SIGTERM);
  const int code = program_->Wait(absl::Now() + absl::Seconds(30));
  if (code == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("rally-coordinator ended with ", code, ": ", program_->Output()));
}

}  // namespace rally::bench
