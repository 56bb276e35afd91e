#include "broker/core/reuse_policy.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace spolia {
namespace {

template <class T>
T first_of(const std::optional<T>& request, const std::optional<T>& agent, const T& fallback) {
    if (request) return *request;
    return agent ? *agent : fallback;
}

}  // namespace

Result<ReusePolicy> resolve_reuse(const ReuseOptions& request, const ReuseDefaults& defaults,
                                  const ModelInfo& model) {
    static const ReuseOptions kNone;
    const auto found = defaults.agents.find(request.agent);
    const ReuseOptions& agent = found == defaults.agents.end() ? kNone : found->second;

    ReusePolicy policy;
    policy.fidelity = first_of(request.fidelity, agent.fidelity, defaults.fidelity);
    policy.params.policy = first_of(request.policy, agent.policy, defaults.policy);
    policy.params.head_rows = first_of(request.head_rows, agent.head_rows, defaults.head_rows);
    const double ratio =
        first_of(request.recompute_ratio, agent.recompute_ratio, defaults.recompute_ratio);
    if (!(ratio > 0 && ratio <= 1)) {
        return Error{ErrorCode::kInvalidArgument,
                     "recompute_ratio is " + std::to_string(ratio) + "; it must be in (0, 1]"};
    }
    const int32_t last_layer = std::max(1, model.kv.n_layer - 1);
    policy.params.stages = {{std::clamp(defaults.check_layer, 1, last_layer), ratio}};

    Result<std::unique_ptr<Selector>> selector = make_selector(policy.params, model.kv.n_layer);
    if (!selector) return std::move(selector).error();
    if (model.support == ReuseSupport::kSpans && (*selector)->needs_fused_pass()) {
        policy.fell_back = true;
        policy.params.policy = "epic";
        selector = make_selector(policy.params, model.kv.n_layer);
        if (!selector) return std::move(selector).error();
    }
    policy.selector = std::move(selector).value();
    return policy;
}

}  // namespace spolia
