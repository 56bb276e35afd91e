#pragma once

#include <span>
#include <vector>

#include "index/fingerprint.h"

namespace spolia {

struct FusedRank {
    Key128 id;
    double score = 0;
};

// Reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009): what stands at rank r of a list,
// from 1, gets 1 / (60 + r) from it. Best first; equals by id.
std::vector<FusedRank> fuse_ranks(std::span<const std::vector<Key128>> rankings);

}  // namespace spolia
