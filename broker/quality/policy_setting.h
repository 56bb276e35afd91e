#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/core/reuse_policy.h"
#include "broker/guard/sample.h"
#include "index/result.h"
#include "reuse/engine.h"
#include "reuse/selector.h"

namespace spolia {

// A selector with its parameters, as a bench's user names it.
struct PolicySetting {
    SelectorParams params;
    std::string label;  // "cacheblend:ratio=0.15,layer=1"
    std::string
        series;  // without what only says how many rows are recomputed: "cacheblend:layer=1"
    std::vector<std::pair<std::string, std::string>> values;  // keys and values, in a fixed order
    bool guarded = false;  // its ladder, as far as a guard lets its rungs serve
};

// Reads "NAME[:key=value,...]", or "guarded:" and the same. A cacheblend of several stages has
// lists: "layer=1/3,ratio=0.3/0.1". Whether the numbers suit a model is make_selector()'s to say.
Result<PolicySetting> parse_policy(std::string_view text);

// Makes `layer` the check layer of those that name none.
void use_check_layer(int32_t layer, std::vector<PolicySetting>& settings);

// What each selector takes: "  cacheblend  ratio, layer, deviation" and so on, one a line.
std::string describe_policies();

// A sweep of every selector that the model can use.
std::vector<PolicySetting> default_policies(const ModelInfo& model);

// What a server would make of a fast request that names this policy.
Result<ReusePolicy> fast_policy(std::string_view name, int32_t check_layer, const ModelInfo& model);

// Fails with kUnsupported where the model can't run it, and as make_selector(). `budget` is for a
// guarded one.
Result<ReusePolicy> policy_of(const PolicySetting& setting, const ModelInfo& model,
                              const GuardBudget& budget);

}  // namespace spolia
