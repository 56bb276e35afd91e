#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/prompt_plan.h"
#include "broker/core/reuse_policy.h"
#include "broker/service.h"
#include "index/segment.h"

namespace spolia {

// What a composed plan is called in receipts: kAnchorsPolicy where it uses any, else the selector.
std::string policy_name(const PromptPlan& plan, std::string_view selector);

// The part of the receipt that is known before the prefill.
Receipt start_receipt(const PromptPlan& plan, const ReusePolicy& policy);

// The plan in a form to show.
std::vector<PlanPreview::Part> preview_parts(const PromptPlan& plan,
                                             std::span<const Segment> segments);

}  // namespace spolia
