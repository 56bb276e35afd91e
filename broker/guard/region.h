#pragma once

#include <span>

#include "broker/guard/sample.h"

namespace spolia {

// The region with the most of these samples in which no more than `share` of what the budget allows
// are over it; nothing() where there is none. The samples flatter it, since they chose it: what it
// promises is for fresh ones to confirm.
GuardRegion choose_region(std::span<const GuardSample> samples, const GuardBudget& budget,
                          double share);

}  // namespace spolia
