#include "broker/core/guarded_plan.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/core/plan_report.h"

namespace spolia {
namespace {

std::vector<PlannedBlock> composed_blocks(const PromptPlan& plan) {
    std::vector<PlannedBlock> blocks;
    std::ranges::copy_if(plan.blocks, std::back_inserter(blocks),
                         [](const PlannedBlock& block) { return !block.exact; });
    return blocks;
}

ServingPlan plan_guarded(PlanInput input, const PreparedPrompt& prompt, const FindResidence& find,
                         const CostModel& costs, CoreState& state, size_t first_rung) {
    const std::vector<Rung>& ladder = prompt.policy.ladder;
    ServingPlan serving;
    std::vector<PromptPlan> plans;
    std::vector<RungRisk> risks;
    for (size_t i = 0; i < ladder.size(); ++i) {
        input.params = &ladder[i].params;
        PromptPlan plan = plan_prompt(input, find, costs);
        if (!plan.composed) {
            // Dearer rungs gain even less.
            if (plans.empty()) serving.plan = std::move(plan);
            break;
        }
        RungTrace trace{.risk = 1, .mend = plan.mend, .blocks = composed_blocks(plan)};
        trace.risk = risk_of(*ladder[i].selector, trace.blocks, prompt.outline);
        risks.push_back({ladder[i].label, trace.risk});
        serving.trace.rungs.push_back(std::move(trace));
        plans.push_back(std::move(plan));
    }
    if (plans.empty()) {
        if (first_rung > 0) serving.refusal = kInDoubt;
        return serving;
    }
    GuardDecision decision;
    {
        MutexLock lock(state.mutex);
        decision = state.guard.decide(risks, prompt.policy.budget, first_rung);
    }
    serving.trace.served = decision.rung;
    if (!decision.rung) {
        serving.refusal = input.refusal = first_rung == 0 ? decision.refusal : kInDoubt;
        serving.plan = plan_prompt(input, find, costs);
        return serving;
    }
    serving.rung = &ladder[*decision.rung];
    serving.predicted_kl = decision.predicted_kl;
    serving.max_doubt = decision.max_doubt;
    serving.plan = std::move(plans[*decision.rung]);
    if (serving.plan.mend) serving.selector = serving.rung->selector.get();
    return serving;
}

}  // namespace

double risk_of(const Selector& selector, std::span<const PlannedBlock> blocks,
               const PromptOutline& outline) {
    return selector.pick({passive_spans(blocks), &outline}).risk;
}

void restart_dearer(Guard& guard, std::span<const Rung> ladder, size_t rung) {
    for (const Rung& dearer : ladder.subspan(rung + 1)) guard.restart(dearer.label);
}

ServingPlan plan_serving(const PlanInput& input, const PreparedPrompt& prompt,
                         const FindResidence& find, const CostModel& costs, CoreState& state,
                         size_t first_rung) {
    if (!prompt.policy.ladder.empty()) {
        return plan_guarded(input, prompt, find, costs, state, first_rung);
    }
    ServingPlan serving;
    serving.plan = plan_prompt(input, find, costs);
    if (serving.plan.mend) serving.selector = prompt.policy.selector.get();
    return serving;
}

Receipt start_receipt(const ServingPlan& serving, const ReusePolicy& policy) {
    Receipt receipt = start_receipt(serving.plan, policy);
    receipt.fallback = serving.refusal;
    if (serving.rung != nullptr) {
        receipt.policy = policy_name(serving.plan, serving.rung->params.policy);
        receipt.rung = serving.rung->label;
        receipt.predicted_kl = serving.predicted_kl;
    }
    return receipt;
}

}  // namespace spolia
