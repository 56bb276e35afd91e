#include "broker/quality/quality_bench.h"

#include <optional>
#include <string>
#include <utility>

#include "broker/quality/guarded_way.h"
#include "broker/quality/prompt_runner.h"

namespace spolia {
namespace {

Error at_prompt(const QualityPrompt& prompt, const std::string& way, const Error& error) {
    return {error.code,
            "task in line " + std::to_string(prompt.line) + ", " + way + ": " + error.message};
}

// One policy of the bench: as it is, or under guard.
class Way {
public:
    Way(ReusePolicy policy, const QualityOptions& options) {
        if (policy.fidelity == Fidelity::kGuarded) {
            guarded_.emplace(std::move(policy), options.rungs);
        } else {
            policy_ = std::move(policy);
        }
    }

    Result<GuardedRun> run(PromptRunner& runner, const QualityPrompt& prompt,
                           const PromptRun& dense) {
        if (guarded_) return guarded_->run(runner, prompt, dense);
        Result<PromptRun> composed = runner.composed(prompt, policy_);
        if (!composed) return std::move(composed).error();
        return GuardedRun{std::move(composed).value(), {}};
    }

private:
    ReusePolicy policy_;
    std::optional<GuardedWay> guarded_;
};

Result<std::vector<Way>> make_ways(std::span<const PolicySetting> settings, const ModelInfo& model,
                                   const QualityOptions& options) {
    if (model.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported,
                     "this model reuses exact prefixes only, so there is nothing to compare: " +
                         model.support_reason};
    }
    std::vector<Way> ways;
    for (const PolicySetting& setting : settings) {
        Result<ReusePolicy> policy = policy_of(setting, model, options.budget);
        if (!policy) return std::move(policy).error();
        ways.emplace_back(std::move(policy).value(), options);
    }
    return ways;
}

// Computes the prompt in every way; without `figures` only to warm up what is measured later, which
// teaches a guard nothing that it would not learn from the same prompt then.
Status compute(PromptRunner& runner, const QualityPrompt& prompt, std::vector<Way>& ways,
               std::span<const PolicySetting> settings, std::vector<WayFigures>* figures) {
    const Result<PromptRun> dense = runner.dense(prompt);
    if (!dense.ok()) return at_prompt(prompt, "dense", dense.error());
    if (figures != nullptr) figures->front().add(prompt, compare(prompt, *dense, *dense));
    for (size_t i = 0; i < ways.size(); ++i) {
        const Result<GuardedRun> done = ways[i].run(runner, prompt, *dense);
        if (!done.ok()) return at_prompt(prompt, settings[i].label, done.error());
        if (figures == nullptr) continue;
        Comparison comparison = compare(prompt, *dense, done->run);
        comparison.refusal = done->refusal;
        (*figures)[i + 1].add(prompt, comparison);
    }
    return {};
}

}  // namespace

Result<std::vector<WayFigures>> measure_quality(Engine& engine, const TextModel& text,
                                                std::span<const QualityPrompt> prompts,
                                                std::span<const PolicySetting> settings,
                                                const QualityOptions& options,
                                                const QualityProgress& progress) {
    Result<std::vector<Way>> ways = make_ways(settings, engine.info(), options);
    if (!ways) return std::move(ways).error();
    std::vector<WayFigures> figures = {dense_way()};
    for (const PolicySetting& setting : settings) figures.push_back(composed_way(setting));
    if (prompts.empty()) return figures;
    PromptRunner runner(engine, text, options.tokens_max);
    if (Status status = compute(runner, prompts.front(), *ways, settings, nullptr); !status) {
        return status.error();
    }
    for (size_t i = 0; i < prompts.size(); ++i) {
        progress(i, prompts.size());
        if (Status status = compute(runner, prompts[i], *ways, settings, &figures); !status) {
            return status.error();
        }
    }
    progress(prompts.size(), prompts.size());
    return figures;
}

}  // namespace spolia
