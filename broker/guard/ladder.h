#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reuse/selector.h"

namespace spolia {

// One setting of a selector. The label tells it from all others, also from the same setting in
// another ladder, which other requests reach.
struct LadderStep {
    std::string label;  // "cacheblend:ratio=0.15,layer=1", behind it the same and " x2", " > ..."
    SelectorParams params;
};

// Whether the label is of a rung that only gets what cheaper ones refused.
bool is_dearer(std::string_view label);

// The settings to try for a request, cheapest first: the one asked for, and some that recompute
// more where the selector has an amount to raise. Above the last one is dense compute.
std::vector<LadderStep> make_ladder(const SelectorParams& params);

}  // namespace spolia
