#include "common/dataset_split.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <xxhash.h>

#include "common/check.h"

namespace rally {
namespace {

uint64_t Hash(int64_t document, uint64_t seed) {
  return XXH3_64bits_withSeed(&document, sizeof(document), seed);
}

// Moves the entry of `from` whose hash is least (or greatest) to `to`, which is empty.
void MoveOne(std::vector<int64_t>* from, std::vector<int64_t>* to, uint64_t seed, bool least) {
  auto by_hash = [seed](int64_t a, int64_t b) { return Hash(a, seed) < Hash(b, seed); };
  auto chosen = least ? std::min_element(from->begin(), from->end(), by_hash)
                      : std::max_element(from->begin(), from->end(), by_hash);
  to->push_back(*chosen);
  from->erase(chosen);
}

}  // namespace

DatasetSplit SplitDataset(int64_t documents, double validation_fraction, uint64_t seed) {
  RALLY_CHECK(documents >= 0, "negative number of documents");
  RALLY_CHECK(validation_fraction >= 0 && validation_fraction < 1, "fraction outside [0, 1)");
  // Below 2^64 since the fraction is below 1: the greatest double under 1 times 2^64 is exact.
  const auto threshold = static_cast<uint64_t>(std::ldexp(validation_fraction, 64));
  DatasetSplit split;
  for (int64_t d = 0; d < documents; ++d) {
    (Hash(d, seed) < threshold ? split.validation : split.training).push_back(d);
  }
  if (documents == 1 && split.training.empty()) std::swap(split.training, split.validation);
  if (documents < 2 || validation_fraction == 0) return split;
  if (split.validation.empty()) MoveOne(&split.training, &split.validation, seed, /*least=*/true);
  if (split.training.empty()) MoveOne(&split.validation, &split.training, seed, /*least=*/false);
  return split;
}

}  // namespace rally
