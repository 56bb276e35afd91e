#include "broker/quality/guarded_way.h"

#include <utility>

#include "broker/core/guarded_plan.h"

namespace spolia {

GuardedWay::GuardedWay(ReusePolicy policy, const std::vector<RungRecord>& known)
    : policy_(std::move(policy)), guard_(policy_.budget) {
    for (const Rung& rung : policy_.ladder) guard_.expect(rung.label);
    guard_.restore(known);
}

Result<GuardedRun> GuardedWay::run(PromptRunner& runner, const QualityPrompt& prompt,
                                   const PromptRun& dense) {
    const std::vector<RungRisk> risks = risks_of(runner, prompt);
    if (risks.empty()) return GuardedRun{dense, {}};
    double doubtful_ms = 0;  // what was composed in vain
    GuardDecision decision = guard_.decide(risks, policy_.budget);
    while (decision.rung) {
        const size_t rung = *decision.rung;
        Result<PromptRun> composed = runner.composed(prompt, policy_, &policy_.ladder[rung]);
        if (!composed) return std::move(composed).error();
        if (!leaves_doubt(composed->logits, decision.max_doubt)) {
            composed->prefill_ms += doubtful_ms;
            if (Status status = learn_of_served(runner, prompt, dense, risks, rung, *composed);
                !status) {
                return status.error();
            }
            return GuardedRun{std::move(composed).value(), {}};
        }
        doubtful_ms += composed->prefill_ms;
        decision = guard_.decide(risks, policy_.budget, rung + 1);
        decision.refusal = kInDoubt;
    }
    if (Status status = learn(runner, prompt, dense, risks, risks.size()); !status) {
        return status.error();
    }
    GuardedRun run{dense, decision.refusal};
    run.run.prefill_ms += doubtful_ms;
    return run;
}

Status GuardedWay::learn_of_served(PromptRunner& runner, const QualityPrompt& prompt,
                                   const PromptRun& dense, const std::vector<RungRisk>& risks,
                                   size_t rung, const PromptRun& composed) {
    const GuardSample sample =
        compare_first_token(risks[rung].risk, prompt.tokens, dense.logits, composed.logits);
    if (guard_.observe_served(risks[rung].label, sample, policy_.budget) != GuardChange::kNone) {
        restart_dearer(guard_, policy_.ladder, rung);
    }
    return learn(runner, prompt, dense, risks, rung);
}

std::vector<RungRisk> GuardedWay::risks_of(const PromptRunner& runner,
                                           const QualityPrompt& prompt) const {
    std::vector<RungRisk> risks;
    const PromptPlan plan = runner.plan(prompt, policy_);
    if (!plan.composed) return risks;
    for (const Rung& rung : policy_.ladder) {
        risks.push_back({rung.label, risk_of(*rung.selector, plan.blocks, prompt.outline)});
    }
    return risks;
}

Status GuardedWay::learn(PromptRunner& runner, const QualityPrompt& prompt, const PromptRun& dense,
                         const std::vector<RungRisk>& risks, size_t n_rungs) {
    for (size_t i = 0; i < n_rungs; ++i) {
        if (!guard_.learning(risks[i].label)) continue;
        const Result<PromptRun> run = runner.composed(prompt, policy_, &policy_.ladder[i]);
        if (!run.ok()) return run.error();
        const GuardSample sample =
            compare_first_token(risks[i].risk, prompt.tokens, dense.logits, run->logits);
        if (guard_.observe(risks[i].label, sample) == GuardChange::kNone) continue;
        restart_dearer(guard_, policy_.ladder, i);
        break;
    }
    return {};
}

}  // namespace spolia
