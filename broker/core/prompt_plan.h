#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "broker/core/cost_model.h"
#include "broker/core/donor.h"
#include "index/fingerprint.h"
#include "index/segment.h"
#include "index/token.h"
#include "reuse/engine.h"

namespace spolia {

// Rows [row, row + n_rows) of the prompt, taken from the block under `key`, from its row
// `source_row` on.
struct PlannedBlock {
    Key128 key;
    TokenSpan covers;  // the page or chunk of the prompt that the rows belong to
    int32_t row = 0;
    int32_t source_row = 0;
    int32_t n_rows = 0;
    bool exact = false;    // a page of the prefix chain
    bool settled = false;  // see PassiveSpan
    bool on_disk = false;
    int32_t n_picked = 0;  // rows that adaptive would pick with all blocks placed; for their cost
    // Of an anchor's or a donor's block: what its rows know of the prompt. Null: it was encoded
    // alone.
    std::shared_ptr<const KnownContext> known = nullptr;
    int32_t depth = 0;  // see Anchor
    // The text that the block holds. Null: the prompt's own, `covers`.
    std::shared_ptr<const DonorText> donor = nullptr;

    bool anchored() const { return known != nullptr && donor == nullptr; }
};

// The tokens that the block holds; `prompt` are those it was planned for.
std::span<const Token> tokens_of(const PlannedBlock& block, std::span<const Token> prompt);

// What becomes of one chunk of the prompt.
struct ChunkOutcome {
    Segment segment;
    size_t part = 0;             // the segment's index
    int32_t n_reused = 0;        // rows placed outside the exact prefix
    std::string_view miss = {};  // why rows of it are computed; empty: none, but for edge rows
    bool wanted = false;         // would be reused, were it encoded
    // Rows that a donor has and that are computed all the same, ascending: not for `miss`, but
    // because placing them looked slower.
    std::vector<TokenSpan> turned_down = {};

    int32_t n_turned_down() const;
};

struct PromptPlan {
    // Rows in front of the first block that is not exact, all where there is none: they are exact
    // once the plan is carried out.
    int32_t n_dense() const;

    int32_t n_prompt = 0;
    int32_t n_keep = 0;                // rows that stay in the sequence
    int32_t n_exact = 0;               // n_keep, and the rows of exact pages behind them
    std::vector<PlannedBlock> blocks;  // in the order that PrefillPlan wants
    std::vector<ChunkOutcome> chunks;
    bool composed = false;     // some blocks are not exact
    bool mend = false;         // the selector is needed
    bool unmapped = false;     // see PlanInput
    bool turned_down = false;  // composing was possible and looked slower
    PrefillCost cost;
    double dense_ms = 0;   // predicted with nothing reused; 0 before anything was measured
    double chosen_ms = 0;  // predicted for this plan
};

// The rows of composed blocks, as selectors take them.
std::vector<PassiveSpan> passive_spans(std::span<const PlannedBlock> blocks);

// The block as an engine takes it; `held` is the one under its key, pinned. Borrows
// `planned.known`.
PlacedBlock placed_block(const PlannedBlock& planned, const KvBlock& held);

// Of rows computed from `row` on, see Anchor: 0 where no composed row is in front of them.
int32_t depth_at(const PromptPlan& plan, int32_t row);

}  // namespace spolia
