#include "scheduler/document_passes.h"

#include <string>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"

namespace rally {
namespace {

absl::Status Broken(const std::string& what) { return absl::InvalidArgumentError(what); }

}  // namespace

DocumentPasses::DocumentPasses(const Plan& plan) : plan_(&plan), progress_(plan.documents.size()) {}

absl::Status DocumentPasses::CheckPasses(Passes passes) const {
  if ((plan_->stages == 1) != (passes == Passes::kBoth)) {
    return Broken(
        absl::StrCat("a micro-batch in both directions goes with one stage, one in a single "
                     "direction with several; the plan has ",
                     plan_->stages));
  }
  if (passes == Passes::kBackward && plan_->kind != PlanKind::kTrain) {
    return Broken("a validation goes backward");
  }
  return absl::OkStatus();
}

absl::Status DocumentPasses::Visit(const ShardIndex& index, Passes passes) {
  RALLY_RETURN_IF_ERROR(CheckPasses(passes));
  const std::vector<ShardPlace>& places = index.places();
  for (size_t first = 0, last = 0; first < places.size(); first = last) {
    while (last < places.size() && places[last].document == places[first].document) ++last;
    RALLY_RETURN_IF_ERROR(
        VisitDocument(absl::MakeConstSpan(places).subspan(first, last - first), passes));
  }
  return absl::OkStatus();
}

absl::Status DocumentPasses::VisitDocument(absl::Span<const ShardPlace> places, Passes passes) {
  const int32_t document = places[0].document;
  const int32_t stage = places[0].home / plan_->replicas();
  RALLY_RETURN_IF_ERROR(Advance(document, stage, passes));
  if (plan_->stages == 1) return absl::OkStatus();
  std::vector<ShardPlace> seen(places.begin(), places.end());
  for (ShardPlace& place : seen) {
    place.home -= stage * plan_->replicas();
    if (place.home < 0 || place.home >= plan_->replicas()) {
      return Broken(absl::StrCat("document ", document, " is on several stages at once"));
    }
  }
  std::vector<ShardPlace>& first_seen = progress_[document].places;
  if (first_seen.empty()) first_seen = seen;
  if (first_seen != seen) {
    return Broken(absl::StrCat("document ", document, " lies in other places on stage ", stage,
                               " than before"));
  }
  return absl::OkStatus();
}

absl::Status DocumentPasses::Advance(int32_t document, int32_t stage, Passes passes) {
  Progress& progress = progress_[document];
  if (passes != Passes::kBackward) {
    if (progress.forward != stage) {
      return plan_->stages == 1
                 ? Broken(absl::StrCat("document ", document, " is in two micro-batches"))
                 : Broken(absl::StrCat("document ", document, " passes stage ", stage,
                                       " forward after ", progress.forward, " stages"));
    }
    ++progress.forward;
  }
  if (passes == Passes::kForward) return absl::OkStatus();
  if (progress.forward < plan_->stages || progress.backward != plan_->stages - 1 - stage) {
    return Broken(absl::StrCat("document ", document, " passes stage ", stage, " backward after ",
                               progress.forward, " stages forward and ", progress.backward,
                               " backward"));
  }
  ++progress.backward;
  return absl::OkStatus();
}

absl::Status DocumentPasses::Finish() const {
  const bool backward = plan_->stages == 1 || plan_->kind == PlanKind::kTrain;
  for (size_t document = 0; document < progress_.size(); ++document) {
    const Progress& progress = progress_[document];
    if (progress.forward == 0) {
      return Broken(absl::StrCat("document ", document, " is in no chunk"));
    }
    if (progress.forward < plan_->stages || (backward && progress.backward < plan_->stages)) {
      return Broken(absl::StrCat("document ", document, " passes ", progress.forward,
                                 " stages forward and ", progress.backward, " backward, of ",
                                 plan_->stages));
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
