#include "broker/quality/prompt_runner.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "broker/quality/greedy_answer.h"

namespace spolia {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Result<PromptRun> PromptRunner::dense(const QualityPrompt& prompt) {
    return run(prompt, {.sequence = kSequence, .tokens = prompt.tokens, .blocks = {}});
}

PromptPlan PromptRunner::plan(const QualityPrompt& prompt, const ReusePolicy& policy,
                              const Rung* rung, const EditedChunks& edited) const {
    const PlanInput input{.tokens = prompt.tokens,
                          .segments = prompt.segments,
                          .page_keys = {},
                          .n_tile_rows = engine_.limits().n_tile_rows,
                          .policy = &policy,
                          .params = rung == nullptr ? nullptr : &rung->params,
                          .donors = edited.donors,
                          .model = &engine_.info(),
                          .sink_prefix = engine_.sink_prefix(),
                          .by_cost = false};
    const auto find = [&](const Key128& key, std::span<const Token>) {
        const bool absent = std::ranges::any_of(
            edited.parts, [&](size_t part) { return prompt.segments[part].key == key; });
        return absent ? Residence::kAbsent : Residence::kRam;
    };
    return plan_prompt(input, find, CostModel());
}

Result<PromptRun> PromptRunner::composed(const QualityPrompt& prompt, const ReusePolicy& policy,
                                         const Rung* rung, const EditedChunks& edited) {
    const PromptPlan planned = plan(prompt, policy, rung, edited);
    const Result<std::vector<PlacedBlock>> blocks = place(prompt, planned.blocks);
    if (!blocks.ok()) return blocks.error();
    const Selector* selector = rung == nullptr ? policy.selector.get() : rung->selector.get();
    Result<PromptRun> run = this->run(prompt, {.sequence = kSequence,
                                               .tokens = prompt.tokens,
                                               .blocks = *blocks,
                                               .selector = planned.mend ? selector : nullptr,
                                               .outline = &prompt.outline});
    if (run) {
        run->mend_work_rows = static_cast<double>(run->report.mend_row_layers) /
                              std::max(1, engine_.info().kv.n_layer);
    }
    return run;
}

Result<std::vector<PlacedBlock>> PromptRunner::placed_blocks(const QualityPrompt& prompt,
                                                             const ReusePolicy& policy) {
    return place(prompt, plan(prompt, policy).blocks);
}

Result<std::vector<PlacedBlock>> PromptRunner::place(const QualityPrompt& prompt,
                                                     std::span<const PlannedBlock> planned) {
    blocks_.begin_prompt();
    std::vector<PlacedBlock> placed;
    for (const PlannedBlock& block : planned) {
        const Result<const KvBlock*> held =
            blocks_.block(block.key, tokens_of(block, prompt.tokens));
        if (!held.ok()) return held.error();
        placed.push_back(placed_block(block, **held));
    }
    return placed;
}

Result<PromptRun> PromptRunner::run(const QualityPrompt& prompt, const PrefillPlan& plan) {
    PromptRun run;
    const Clock::time_point begin = Clock::now();
    Result<PrefillReport> report = engine_.prefill(plan, [] { return true; });
    run.prefill_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    if (!report) return std::move(report).error();
    run.report = std::move(report).value();
    const std::span<const float> logits = engine_.logits(kSequence);
    run.logits.assign(logits.begin(), logits.end());
    Result<GreedyAnswer> answer =
        greedy_answer(engine_, text_, kSequence, prompt.stops, tokens_max_);
    if (!answer) return std::move(answer).error();
    run.tokens = std::move(answer->tokens);
    run.output = std::move(answer->output);
    return run;
}

}  // namespace spolia
