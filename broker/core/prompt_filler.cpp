#include "broker/core/prompt_filler.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "broker/log.h"

namespace spolia {
namespace {

double ms_of(int64_t us) { return static_cast<double>(us) / 1000; }

// Rows that stayed as blocks of a kind have them.
template <class Kind>
int32_t rows_left_of(const Kind& is_kind, const PromptPlan& plan, const PrefillReport& report) {
    int32_t n_rows = 0;
    for (const PlannedBlock& block : plan.blocks) {
        if (!is_kind(block)) continue;
        const auto from = std::ranges::lower_bound(report.blended_rows, block.row);
        const auto end = std::ranges::lower_bound(report.blended_rows, block.row + block.n_rows);
        n_rows += block.n_rows - static_cast<int32_t>(end - from);
    }
    return n_rows;
}

void add_report(const PromptPlan& plan, const PrefillReport& report, Receipt& receipt) {
    receipt.n_exact = report.n_exact;
    const auto anchored = [](const PlannedBlock& block) { return block.anchored(); };
    const auto of_donor = [](const PlannedBlock& block) { return block.donor != nullptr; };
    receipt.n_anchored = rows_left_of(anchored, plan, report);
    receipt.n_donor = rows_left_of(of_donor, plan, report);
    receipt.n_shifted = report.n_shifted - receipt.n_anchored - receipt.n_donor;
    receipt.n_blended = report.n_blended;
    receipt.n_computed = report.n_computed;
    receipt.place_ms = ms_of(report.place_us);
    receipt.check_ms = ms_of(report.check_us);
    receipt.compute_ms = ms_of(report.compute_us);
}

// Of a prompt that is wanted elsewhere.
bool worth_composing(const PromptPlan& plan, const Handover& handover, bool by_cost) {
    // What handing over takes is in no plan.
    constexpr double kMargin = 0.9;
    if (handover.always) return true;
    int32_t n_reused = plan.n_exact;
    for (const PlannedBlock& block : plan.blocks) n_reused += block.exact ? 0 : block.n_rows;
    if (n_reused == 0) return false;
    const double elsewhere_ms = handover.elsewhere_ms.value_or(plan.dense_ms);
    if (by_cost && elsewhere_ms > 0) return plan.chosen_ms < kMargin * elsewhere_ms;
    // Nothing was measured yet, or that does not count.
    return 2 * n_reused >= plan.n_prompt;
}

Residence nothing_resident(const Key128&, std::span<const Token>) {
    return Residence::kUnavailable;
}

}  // namespace

FindResidence residence_in(const BlockStore& store, CoreState& state) {
    return [&store, &state](const Key128& key, std::span<const Token> tokens) {
        if (const std::optional<Tier> tier = store.where(key, tokens)) {
            return *tier == Tier::kRam ? Residence::kRam : Residence::kDisk;
        }
        MutexLock lock(state.mutex);
        const bool queued = state.encode_queue.contains(key) || state.registering.contains(key);
        return queued ? Residence::kQueued : Residence::kAbsent;
    };
}

PlanInput plan_input(const PreparedPrompt& prompt, int32_t n_held, const Engine& engine,
                     const AnchorSnapshot& anchors, const ServiceOptions& options) {
    return {.tokens = prompt.tokens,
            .segments = prompt.segments,
            .page_keys = prompt.page_keys,
            .n_held = n_held,
            .n_tile_rows = engine.limits().n_tile_rows,
            .policy = &prompt.policy,
            .outline = &prompt.outline,
            .anchors = prompt.policy.anchored ? &anchors : nullptr,
            .anchor_depth_max = prompt.policy.fidelity == Fidelity::kGuarded ? 0 : kAnchorDepthMax,
            .donors = prompt.donors,
            .model = &engine.info(),
            .sink_prefix = engine.sink_prefix(),
            .unmapped = prompt.unmapped,
            .by_cost = options.reuse_by_cost};
}

Result<PromptFiller::Outcome> PromptFiller::fill(Generation& generation, const PrefillTick& tick) {
    const PreparedPrompt& prompt = generation.prompt;
    const Clock::time_point begin = Clock::now();
    std::optional<SequenceTable::Match> match;
    {
        MutexLock lock(state_.mutex);
        match = state_.sequences.choose(prompt.tokens, prompt.tenant);
    }
    assert(match);
    generation.sequence = match->sequence;
    const std::shared_ptr<const AnchorSnapshot> anchors = anchors_.snapshot();
    const PlanInput input = plan_input(prompt, match->n_exact, engine_, *anchors, options_);
    PinnedPlan pinned = plan_and_pin(input, prompt);
    learn_from(pinned.serving.plan, prompt);
    if (generation.handover &&
        !worth_composing(pinned.serving.plan, *generation.handover, options_.reuse_by_cost)) {
        decline(generation, pinned.serving);
        return Outcome::kDeclined;
    }
    start(generation, pinned.serving, begin);
    double ticks_ms = 0;
    const PrefillTick timed_tick = [&] {
        const Clock::time_point tick_begin = Clock::now();
        const bool go_on = tick();
        ticks_ms += ms_between(tick_begin, Clock::now());
        return go_on;
    };
    Result<PrefillReport> report = prefill(generation, pinned, timed_tick);
    while (report && in_doubt(generation.sequence, pinned.serving)) {
        pinned = after_doubt(input, generation, pinned.serving);
        start(generation, pinned.serving, begin);
        ticks_ms = 0;
        report = prefill(generation, pinned, timed_tick);
    }
    if (!report && !pinned.blocks.empty() && report.error().code != ErrorCode::kCancelled) {
        log_event(LogLevel::kError, "reuse failed, computing all rows: " + report.error().message);
        pinned = after_failure(input, generation);
        start(generation, pinned.serving, begin);
        ticks_ms = 0;
        report = prefill(generation, pinned, timed_tick);
    }
    generation.receipt.prompt_ms = ms_between(begin, Clock::now());
    if (!report) {
        MutexLock lock(state_.mutex);
        state_.sequences.clear(generation.sequence);
        generation.sequence = -1;
        return std::move(report).error();
    }
    settle(generation, pinned, *report, ticks_ms);
    return Outcome::kFilled;
}

void PromptFiller::decline(Generation& generation, ServingPlan& serving) {
    generation.sequence = -1;
    generation.receipt = start_receipt(serving, generation.prompt.policy);
    generation.receipt.policy = "dense";
    generation.receipt.n_computed = generation.receipt.n_prompt;
    generation.guard_trace = std::move(serving.trace);
    // What of it composing would have served, nobody was served.
    generation.guard_trace.served.reset();
}

void PromptFiller::start(Generation& generation, const ServingPlan& serving,
                         Clock::time_point begin) {
    generation.receipt = start_receipt(serving, generation.prompt.policy);
    generation.receipt.queue_ms = ms_between(generation.submitted, begin);
    MutexLock lock(state_.mutex);
    state_.sequences.begin(generation.sequence, generation.prompt.tenant, serving.plan.n_keep);
}

PromptFiller::PinnedPlan PromptFiller::plan_and_pin(const PlanInput& input,
                                                    const PreparedPrompt& prompt,
                                                    size_t first_rung) {
    const FindResidence find = residence_in(store_, state_);
    std::vector<Key128> unavailable;
    const FindResidence find_available = [&](const Key128& key, std::span<const Token> tokens) {
        const bool gone =
            std::find(unavailable.begin(), unavailable.end(), key) != unavailable.end();
        return gone ? Residence::kUnavailable : find(key, tokens);
    };
    // A block that can't be pinned (evicted meanwhile, damaged, no room) changes the plan. Ends,
    // because each round rules out one more block of the prompt.
    for (;;) {
        CostModel costs;
        {
            MutexLock lock(state_.mutex);
            costs = state_.costs;
        }
        PinnedPlan pinned{
            .serving = plan_serving(input, prompt, find_available, costs, state_, first_rung),
            .pins = {},
            .blocks = {}};
        if (pin(pinned, input.tokens, unavailable)) return pinned;
    }
}

bool PromptFiller::in_doubt(int32_t sequence, const ServingPlan& serving) const {
    return serving.rung != nullptr && leaves_doubt(engine_.logits(sequence), serving.max_doubt);
}

PromptFiller::PinnedPlan PromptFiller::after_failure(PlanInput input,
                                                     const Generation& generation) {
    input.n_held = 0;
    PinnedPlan pinned;
    pinned.serving.plan = plan_prompt(input, nothing_resident, CostModel());
    MutexLock lock(state_.mutex);
    state_.sequences.clear(generation.sequence);
    return pinned;
}

PromptFiller::PinnedPlan PromptFiller::after_doubt(PlanInput input, const Generation& generation,
                                                   const ServingPlan& doubtful) {
    input.n_held = doubtful.plan.n_dense();
    {
        MutexLock lock(state_.mutex);
        state_.sequences.filled(generation.sequence, generation.prompt.tokens, input.n_held);
        state_.sequences.release(generation.sequence);
    }
    return plan_and_pin(input, generation.prompt, *doubtful.trace.served + 1);
}

bool PromptFiller::pin(PinnedPlan& pinned, std::span<const Token> tokens,
                       std::vector<Key128>& unavailable) {
    for (const PlannedBlock& block : pinned.serving.plan.blocks) {
        const Clock::time_point begin = Clock::now();
        const std::span<const Token> of_block = tokens_of(block, tokens);
        BlockPin held = store_.find(block.key, of_block);
        if (!held) {
            unavailable.push_back(block.key);
            return false;
        }
        // Several runs may come from one block: the first of them has it loaded.
        const auto& placed = pinned.blocks;
        if (block.on_disk &&
            std::ranges::find(placed, &*held, &PlacedBlock::block) == placed.end()) {
            MutexLock lock(state_.mutex);
            state_.costs.observe_load(static_cast<int32_t>(of_block.size()),
                                      ms_between(begin, Clock::now()));
        }
        pinned.blocks.push_back(placed_block(block, *held));
        pinned.pins.push_back(std::move(held));
    }
    return true;
}

void PromptFiller::learn_from(const PromptPlan& plan, const PreparedPrompt& prompt) {
    const Key128 scope = scope_key({engine_.info().fingerprint, prompt.tenant});
    MutexLock lock(state_.mutex);
    if (plan.turned_down) state_.costs.forgive();
    if (!options_.encode_seen_chunks) return;
    for (const ChunkOutcome& chunk : plan.chunks) {
        if (!chunk.wanted) continue;
        const TokenSpan span = chunk.segment.span;
        state_.encode_queue.add(scope, chunk.segment.key,
                                std::span(prompt.tokens).subspan(span.begin, span.size()));
    }
}

Result<PrefillReport> PromptFiller::prefill(const Generation& generation, const PinnedPlan& pinned,
                                            const PrefillTick& tick) {
    const PreparedPrompt& prompt = generation.prompt;
    return engine_.prefill({.sequence = generation.sequence,
                            .tokens = prompt.tokens,
                            .n_keep = pinned.serving.plan.n_keep,
                            .blocks = pinned.blocks,
                            .selector = pinned.serving.selector,
                            .outline = &prompt.outline},
                           tick);
}

void PromptFiller::settle(Generation& generation, PinnedPlan& pinned, const PrefillReport& report,
                          double ticks_ms) {
    generation.plan = std::move(pinned.serving.plan);
    const PromptPlan& plan = generation.plan;
    add_report(plan, report, generation.receipt);
    generation.guard_trace = std::move(pinned.serving.trace);
    MutexLock lock(state_.mutex);
    state_.sequences.filled(generation.sequence, generation.prompt.tokens, plan.n_dense());
    // Generations that went on meanwhile are no cost of this prompt.
    const double compute_ms = ms_of(report.check_us + report.compute_us) - ticks_ms;
    state_.costs.observe(plan.cost, std::max(compute_ms, 0.0), ms_of(report.place_us));
}

}  // namespace spolia
