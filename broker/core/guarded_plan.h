#pragma once

#include <limits>
#include <span>
#include <vector>

#include "broker/core/core_state.h"
#include "broker/core/generation.h"
#include "broker/core/guard_trace.h"
#include "broker/core/planner.h"

namespace spolia {

// How a prompt is to be served: its plan, and what goes with it.
struct ServingPlan {
    PromptPlan plan;
    const Selector* selector = nullptr;  // null: nothing to mend
    const Rung* rung = nullptr;          // the guarded request's that was taken
    double predicted_kl = 0;             // of the rung
    // With more doubt about the first token it is for a dearer rung, or dense after all.
    double max_doubt = std::numeric_limits<double>::infinity();
    std::string_view refusal;  // why the guard let none serve it; empty: it was not asked
    GuardTrace trace;
};

// What the selector says of composed blocks; see RowChoice::risk.
double risk_of(const Selector& selector, std::span<const PlannedBlock> blocks,
               const PromptOutline& outline);

// For when a rung serves other requests than before: the samples of dearer rungs were drawn from
// those that reached them until now.
void restart_dearer(Guard& guard, std::span<const Rung> ladder, size_t rung);

// Plans a prompt for its fidelity. Under guard: each rung's plan says which blocks it would place,
// its selector how much risk is left over them, and the guard which rung may; none: dense. A
// prompt with nothing to compose needs no guard. `input` is plan_input() of `prompt`; rungs in
// front of `first_rung` have composed it and left doubt.
ServingPlan plan_serving(const PlanInput& input, const PreparedPrompt& prompt,
                         const FindResidence& find, const CostModel& costs, CoreState& state,
                         size_t first_rung = 0);

// The part of the receipt that is known before the prefill.
Receipt start_receipt(const ServingPlan& serving, const ReusePolicy& policy);

}  // namespace spolia
