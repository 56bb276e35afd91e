#include "broker/quality/quality_bench.h"

#include <string>
#include <utility>

#include "broker/quality/prompt_runner.h"

namespace spolia {
namespace {

Result<ReusePolicy> reuse_policy(const PolicySetting& setting, const ModelInfo& model) {
    Result<std::unique_ptr<Selector>> selector = make_selector(setting.params, model.kv.n_layer);
    if (!selector) return std::move(selector).error();
    if (model.support == ReuseSupport::kSpans && (*selector)->needs_fused_pass()) {
        return Error{ErrorCode::kUnsupported, "policy " + setting.label +
                                                  " needs the fused pass, which this model does "
                                                  "not have: " +
                                                  model.support_reason};
    }
    ReusePolicy policy;
    policy.fidelity = Fidelity::kFast;
    policy.params = setting.params;
    policy.selector = std::move(selector).value();
    return policy;
}

Result<std::vector<ReusePolicy>> reuse_policies(std::span<const PolicySetting> settings,
                                                const ModelInfo& model) {
    if (model.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported,
                     "this model reuses exact prefixes only, so there is nothing to compare: " +
                         model.support_reason};
    }
    std::vector<ReusePolicy> policies;
    for (const PolicySetting& setting : settings) {
        Result<ReusePolicy> policy = reuse_policy(setting, model);
        if (!policy) return std::move(policy).error();
        policies.push_back(std::move(policy).value());
    }
    return policies;
}

std::vector<WayFigures> ways_of(std::span<const PolicySetting> settings) {
    std::vector<WayFigures> ways = {dense_way()};
    for (const PolicySetting& setting : settings) ways.push_back(composed_way(setting));
    return ways;
}

Error at_prompt(const QualityPrompt& prompt, const std::string& way, const Error& error) {
    return {error.code,
            "task in line " + std::to_string(prompt.line) + ", " + way + ": " + error.message};
}

// Computes the prompt in every way; without `ways` only to warm up what is measured later.
Status compute(PromptRunner& runner, const QualityPrompt& prompt,
               std::span<const PolicySetting> settings, std::span<const ReusePolicy> policies,
               std::vector<WayFigures>* ways) {
    const Result<PromptRun> dense = runner.dense(prompt);
    if (!dense.ok()) return at_prompt(prompt, "dense", dense.error());
    if (ways != nullptr) ways->front().add(prompt, compare(prompt, *dense, *dense));
    for (size_t i = 0; i < policies.size(); ++i) {
        const Result<PromptRun> run = runner.composed(prompt, policies[i]);
        if (!run.ok()) return at_prompt(prompt, settings[i].label, run.error());
        if (ways != nullptr) (*ways)[i + 1].add(prompt, compare(prompt, *dense, *run));
    }
    return {};
}

}  // namespace

Result<std::vector<WayFigures>> measure_quality(Engine& engine, const TextModel& text,
                                                std::span<const QualityPrompt> prompts,
                                                std::span<const PolicySetting> settings,
                                                int32_t tokens_max,
                                                const QualityProgress& progress) {
    Result<std::vector<ReusePolicy>> policies = reuse_policies(settings, engine.info());
    if (!policies) return std::move(policies).error();
    std::vector<WayFigures> ways = ways_of(settings);
    if (prompts.empty()) return ways;
    PromptRunner runner(engine, text, tokens_max);
    if (Status status = compute(runner, prompts.front(), settings, *policies, nullptr); !status) {
        return status.error();
    }
    for (size_t i = 0; i < prompts.size(); ++i) {
        progress(i, prompts.size());
        if (Status status = compute(runner, prompts[i], settings, *policies, &ways); !status) {
            return status.error();
        }
    }
    progress(prompts.size(), prompts.size());
    return ways;
}

}  // namespace spolia
