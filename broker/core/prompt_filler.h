#pragma once

#include <span>
#include <vector>

#include "broker/core/anchor_keeper.h"
#include "broker/core/core_state.h"
#include "broker/core/generation.h"
#include "broker/core/guarded_plan.h"
#include "broker/core/planner.h"
#include "broker/core/service_options.h"
#include "index/result.h"
#include "reuse/block_store.h"
#include "reuse/engine.h"

namespace spolia {

// Looks for blocks in the store's tiers and in the encode queue. Any thread.
FindResidence residence_in(const BlockStore& store, CoreState& state);

// The planner's view of a prepared prompt of which a sequence holds n_held rows. Borrows `anchors`,
// which are looked at only where the prompt's policy says so.
PlanInput plan_input(const PreparedPrompt& prompt, int32_t n_held, const Engine& engine,
                     const AnchorSnapshot& anchors, const ServiceOptions& options);

// Puts prompts into sequences: plans, pins the blocks, prefills, and remembers what the prefill
// cost and left behind. Engine thread only.
class PromptFiller {
public:
    PromptFiller(Engine& engine, BlockStore& store, CoreState& state, AnchorKeeper& anchors,
                 const ServiceOptions& options)
        : engine_(engine), store_(store), state_(state), anchors_(anchors), options_(options) {}

    enum class Outcome : uint8_t { kFilled, kDeclined };
    // Some sequence must be idle. Afterwards generation.sequence is busy and holds the prompt, and
    // the receipt says how. On failure no sequence is taken, nor where a handover is declined: then
    // the receipt has what was planned.
    Result<Outcome> fill(Generation& generation, const PrefillTick& tick);

private:
    struct PinnedPlan {
        ServingPlan serving;
        std::vector<BlockPin> pins;
        std::vector<PlacedBlock> blocks;  // those of the plan, pinned
    };

    void start(Generation& generation, const ServingPlan& serving, Clock::time_point begin);
    static void decline(Generation& generation, ServingPlan& serving);
    PinnedPlan plan_and_pin(const PlanInput& input, const PreparedPrompt& prompt,
                            size_t first_rung = 0);
    bool in_doubt(int32_t sequence, const ServingPlan& serving) const;
    // What comes next: behind a composed plan that failed, nothing reused; behind one that left
    // doubt, the next rung that may serve, or dense.
    PinnedPlan after_failure(PlanInput input, const Generation& generation);
    PinnedPlan after_doubt(PlanInput input, const Generation& generation,
                           const ServingPlan& doubtful);
    bool pin(PinnedPlan& pinned, std::span<const Token> tokens, std::vector<Key128>& unavailable);
    void learn_from(const PromptPlan& plan, const PreparedPrompt& prompt);
    Result<PrefillReport> prefill(const Generation& generation, const PinnedPlan& pinned,
                                  const PrefillTick& tick);
    void settle(Generation& generation, PinnedPlan& pinned, const PrefillReport& report,
                double ticks_ms);

    Engine& engine_;
    BlockStore& store_;
    CoreState& state_;
    AnchorKeeper& anchors_;
    const ServiceOptions& options_;
};

}  // namespace spolia
