#include "broker/core/reuse_policy.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "broker/guard/ladder.h"

namespace spolia {
namespace {

template <class T>
T first_of(const std::optional<T>& request, const std::optional<T>& agent, const T& fallback) {
    if (request) return *request;
    return agent ? *agent : fallback;
}

Status check_budget(const GuardBudget& budget) {
    if (!(budget.max_kl >= 0) || !std::isfinite(budget.max_kl)) {
        return invalid("max_kl is " + std::to_string(budget.max_kl) + "; it must not be negative");
    }
    if (!(budget.min_agreement >= 0 && budget.min_agreement <= 1)) {
        return invalid("min_agreement is " + std::to_string(budget.min_agreement) +
                       "; it must be from 0 to 1");
    }
    return {};
}

// One that nobody has set up would be served by the defaults, as if it had never been given another
// fidelity.
Result<ReuseOptions> agent_named(const std::string& name, const ReuseDefaults& defaults) {
    if (name.empty()) return ReuseOptions();
    const auto found = defaults.agents.find(name);
    if (found != defaults.agents.end()) return found->second;
    std::string names;
    for (const auto& [known, options] : defaults.agents)
        names += (names.empty() ? "" : ", ") + known;
    return invalid("agent \"" + name + "\" is not in the configuration, which has " +
                   (names.empty() ? "none" : names) + "; add [reuse.agents." + name +
                   "] to it, or leave spolia.agent out");
}

}  // namespace

int32_t adaptive_check_layer(int32_t layer) { return layer > 1 ? layer : 0; }

std::string selector_of(std::string_view policy, int32_t adaptive_layer) {
    if (policy == kAnchorsPolicy) return "adaptive";
    if (policy != kAutoPolicy) return std::string(policy);
    return adaptive_layer > 0 ? "adaptive" : "cacheblend";
}

Result<std::vector<Rung>> make_rungs(const SelectorParams& params, const ModelInfo& model) {
    std::vector<Rung> rungs;
    for (LadderStep& step : make_ladder(params)) {
        Result<std::unique_ptr<Selector>> selector = make_selector(step.params, model.kv.n_layer);
        if (!selector) return std::move(selector).error();
        rungs.push_back(
            {std::move(step.label), std::move(step.params), std::move(selector).value()});
    }
    return rungs;
}

Result<ReusePolicy> resolve_reuse(const ReuseOptions& request, const ReuseDefaults& defaults,
                                  const ModelInfo& model) {
    const Result<ReuseOptions> known = agent_named(request.agent, defaults);
    if (!known) return known.error();
    const ReuseOptions& agent = *known;

    ReusePolicy policy;
    policy.fidelity = first_of(request.fidelity, agent.fidelity, defaults.fidelity);
    policy.params.policy = first_of(request.policy, agent.policy, defaults.policy);
    policy.params.head_rows = first_of(request.head_rows, agent.head_rows, defaults.head_rows);
    const double ratio =
        first_of(request.recompute_ratio, agent.recompute_ratio, defaults.recompute_ratio);
    if (!(ratio > 0 && ratio <= 1)) {
        return invalid("recompute_ratio is " + std::to_string(ratio) + "; it must be in (0, 1]");
    }
    const int32_t last_layer = std::max(1, model.kv.n_layer - 1);
    policy.params.stages = {{std::clamp(defaults.check_layer, 1, last_layer), ratio}};
    policy.params.trace_ratio = ratio;
    policy.params.check_layer = model.support == ReuseSupport::kFused
                                    ? adaptive_check_layer(policy.params.stages.front().layer)
                                    : 0;
    policy.anchored = policy.params.policy == kAnchorsPolicy;
    policy.params.policy = selector_of(policy.params.policy, policy.params.check_layer);
    policy.budget = {
        first_of(request.max_kl, agent.max_kl, defaults.budget.max_kl),
        first_of(request.min_agreement, agent.min_agreement, defaults.budget.min_agreement)};
    if (Status status = check_budget(policy.budget); !status) return status.error();

    Result<std::unique_ptr<Selector>> selector = make_selector(policy.params, model.kv.n_layer);
    if (!selector) return std::move(selector).error();
    if (model.support == ReuseSupport::kSpans && (*selector)->needs_fused_pass()) {
        policy.fell_back = true;
        policy.params.policy = "epic";
        selector = make_selector(policy.params, model.kv.n_layer);
        if (!selector) return std::move(selector).error();
    }
    policy.selector = std::move(selector).value();
    if (policy.fidelity == Fidelity::kGuarded) {
        Result<std::vector<Rung>> rungs = make_rungs(policy.params, model);
        if (!rungs) return std::move(rungs).error();
        policy.ladder = std::move(rungs).value();
        if (policy.anchored) {
            for (Rung& rung : policy.ladder) {
                rung.label = std::string(kAnchorsPolicy) + " " + rung.label;
            }
        }
    }
    return policy;
}

Status check_defaults(const ReuseDefaults& defaults, const ModelInfo& model) {
    if (const Result<ReusePolicy> policy = resolve_reuse({}, defaults, model); !policy) {
        return policy.error();
    }
    for (const auto& [name, agent] : defaults.agents) {
        ReuseOptions request;
        request.agent = name;
        if (const Result<ReusePolicy> policy = resolve_reuse(request, defaults, model); !policy) {
            return Error{policy.error().code, "agent " + name + ": " + policy.error().message};
        }
    }
    return {};
}

std::vector<std::string> configured_rungs(const ReuseDefaults& defaults, const ModelInfo& model) {
    std::vector<ReuseOptions> all(1);
    for (const auto& [name, agent] : defaults.agents) {
        all.push_back(agent);
        all.back().agent = name;
    }
    std::vector<std::string> labels;
    for (ReuseOptions& options : all) {
        options.fidelity = Fidelity::kGuarded;
        const Result<ReusePolicy> policy = resolve_reuse(options, defaults, model);
        if (!policy.ok()) continue;
        for (const Rung& rung : policy->ladder) labels.push_back(rung.label);
    }
    return labels;
}

}  // namespace spolia
