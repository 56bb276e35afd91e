#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "anchors/anchor_pool.h"
#include "broker/core/cost_model.h"
#include "broker/core/donor.h"
#include "broker/core/prompt_plan.h"
#include "broker/core/residence.h"
#include "broker/core/reuse_policy.h"
#include "broker/request.h"
#include "index/fingerprint.h"
#include "index/outline.h"
#include "index/segment.h"
#include "index/token.h"

namespace spolia {

// A prompt and everything that decides how it is served.
struct PlanInput {
    std::span<const Token> tokens;      // not empty
    std::span<const Segment> segments;  // tile the tokens
    std::span<const Key128> page_keys;  // prefix_chain() of the tokens
    int32_t n_held = 0;       // leading rows that the sequence holds, exact; may be all of them
    int32_t n_tile_rows = 1;  // see EngineLimits
    const ReusePolicy* policy = nullptr;
    const SelectorParams* params = nullptr;      // a rung's, in place of the policy's
    const PromptOutline* outline = nullptr;      // for the cost of adaptive; null: of all rows
    const AnchorSnapshot* anchors = nullptr;     // null: chunks are taken as they are encoded alone
    int32_t anchor_depth_max = kAnchorDepthMax;  // deeper ones are passed over
    std::span<const Donor> donors;               // for chunks that are nowhere; by their part
    // Why chunks must not be reused though they could be; empty: they may.
    std::string_view refusal = {};
    const ModelInfo* model = nullptr;
    std::span<const Token> sink_prefix;
    // The prompt has text to reuse that could not be mapped onto tokens.
    bool unmapped = false;
    // Reuse must be predicted to be faster. Where it need not, what can be reused is.
    bool by_cost = true;
};

// Chooses the cheapest way that the request's fidelity allows: rows the sequence holds, then exact
// pages of the prefix from the store, then blocks at new positions, by measured cost. Pure.
// The prompt's last row is always computed, and so is its first unless it is exact: it is the sink
// that all others attend to.
PromptPlan plan_prompt(const PlanInput& input, const FindResidence& find, const CostModel& costs);

}  // namespace spolia
