#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "broker/core/planner.h"

namespace spolia {

// How one rung would serve a prompt, or did.
struct RungTrace {
    double risk = 1;
    bool mend = false;                 // see PromptPlan
    std::vector<PlannedBlock> blocks;  // those that are not exact
};

// What the guard was asked about a prompt; empty where it was not.
struct GuardTrace {
    std::vector<RungTrace> rungs;  // the first ones of the policy's ladder
    std::optional<size_t> served;  // index of one; nullopt: it ran dense
};

}  // namespace spolia
