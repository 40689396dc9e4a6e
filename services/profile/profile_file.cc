#include "services/profile/profile_file.h"

#include <utility>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {

absl::StatusOr<CostModel> ReadProfileFile(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<CostModel> model = CostModel::Parse(text);
  if (!model.ok()) return Annotate(model.status(), path);
  return model;
}

}  // namespace rally
