#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "broker/core/reuse_policy.h"
#include "broker/guard/guard.h"
#include "broker/quality/prompt.h"
#include "broker/quality/prompt_runner.h"
#include "index/result.h"

namespace spolia {

// How a prompt went under guard.
struct GuardedRun {
    PromptRun run;             // composed or dense; the time of those that left doubt, too
    std::string_view refusal;  // why it is dense; empty: it is not, or there was nothing to compose
};

// Computes prompts as a guarded server does all of whose requests are shadowed, one by one in the
// order they come: what a prompt teaches is known when the next is decided.
class GuardedWay {
public:
    // `policy` has a ladder.
    GuardedWay(ReusePolicy policy, const std::vector<RungRecord>& known);

    // `dense` is the same prompt's.
    Result<GuardedRun> run(PromptRunner& runner, const QualityPrompt& prompt,
                           const PromptRun& dense);
    const Guard& guard() const { return guard_; }

private:
    std::vector<RungRisk> risks_of(const PromptRunner& runner, const QualityPrompt& prompt) const;
    Status learn_of_served(PromptRunner& runner, const QualityPrompt& prompt,
                           const PromptRun& dense, const std::vector<RungRisk>& risks, size_t rung,
                           const PromptRun& composed);
    // Composes the prompt with the first `n_rungs` rungs, as far as they have to learn.
    Status learn(PromptRunner& runner, const QualityPrompt& prompt, const PromptRun& dense,
                 const std::vector<RungRisk>& risks, size_t n_rungs);

    ReusePolicy policy_;
    Guard guard_;
};

}  // namespace spolia
