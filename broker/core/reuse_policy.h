#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/guard/sample.h"
#include "broker/request.h"
#include "index/result.h"
#include "reuse/engine.h"
#include "reuse/selector.h"

namespace spolia {

// What requests take for the fields of ReuseOptions that they leave out.
struct ReuseDefaults {
    Fidelity fidelity = Fidelity::kGuarded;
    std::string policy = std::string(kAutoPolicy);
    double recompute_ratio = 0.15;  // (0, 1]
    int32_t head_rows = 16;         // policy "epic"
    int32_t check_layer = 1;        // of policies that have one; see `spolia calibrate`
    GuardBudget budget;             // fidelity "guarded"
    // Before these come the defaults of the agent that a request names, by its name.
    std::map<std::string, ReuseOptions> agents;
};

// The check layer that `adaptive` may leave rows out by; 0, none, in place of layer 1, which tells
// too little.
int32_t adaptive_check_layer(int32_t layer);

// The selector that a policy stands for.
std::string selector_of(std::string_view policy, int32_t adaptive_layer);

// One setting that a guarded request may be served by.
struct Rung {
    std::string label;  // see LadderStep
    SelectorParams params;
    std::unique_ptr<Selector> selector;
};

// How one request may be served, with everything decided that needs no look at its blocks.
struct ReusePolicy {
    Fidelity fidelity = Fidelity::kExact;
    SelectorParams params;
    std::unique_ptr<Selector> selector;
    // Chunks are taken from anchors where these know more than the chunk encoded alone, and what
    // the prompt leaves is kept as anchors. Says so in the rungs' labels: they serve otherwise.
    bool anchored = false;
    // The policy asked for needs a fused pass, which this model does not have: epic stands in.
    bool fell_back = false;
    // Guarded only: the settings to choose from, cheapest first, `params` and `selector` being the
    // first one's.
    std::vector<Rung> ladder;
    GuardBudget budget;
};

// The ladder of a setting. Fails as make_selector().
Result<std::vector<Rung>> make_rungs(const SelectorParams& params, const ModelInfo& model);

// Request before agent before defaults. kInvalidArgument on an unknown policy, a number out of
// range, or an agent that the defaults don't have.
Result<ReusePolicy> resolve_reuse(const ReuseOptions& request, const ReuseDefaults& defaults,
                                  const ModelInfo& model);

// Fails where requests that leave everything out, or name one of the agents, could not be served.
Status check_defaults(const ReuseDefaults& defaults, const ModelInfo& model);

// Labels of the rungs that the configuration names: the defaults' and the agents'.
std::vector<std::string> configured_rungs(const ReuseDefaults& defaults, const ModelInfo& model);

}  // namespace spolia
