#include "broker/quality/guard_lessons.h"

#include <utility>

#include "broker/quality/guarded_way.h"
#include "broker/quality/prompt_runner.h"

namespace spolia {

Result<std::vector<RungRecord>> teach_guard(Engine& engine, const TextModel& text,
                                            std::span<const QualityPrompt> prompts,
                                            const PolicySetting& setting,
                                            const QualityOptions& options,
                                            const QualityProgress& progress) {
    Result<ReusePolicy> policy = policy_of(setting, engine.info(), options.budget);
    if (!policy) return std::move(policy).error();
    GuardedWay way(std::move(policy).value(), options.rungs);
    PromptRunner runner(engine, text, 1);
    for (size_t i = 0; i < prompts.size(); ++i) {
        progress(i, prompts.size());
        const Result<PromptRun> dense = runner.dense(prompts[i]);
        if (!dense.ok()) return dense.error();
        const Result<GuardedRun> run = way.run(runner, prompts[i], *dense);
        if (!run.ok()) return run.error();
    }
    progress(prompts.size(), prompts.size());
    return way.guard().records();
}

}  // namespace spolia
