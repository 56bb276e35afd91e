#include "broker/core/prompt_plan.h"

#include <algorithm>
#include <numeric>

namespace spolia {

int32_t ChunkOutcome::n_turned_down() const {
    return std::accumulate(turned_down.begin(), turned_down.end(), 0,
                           [](int32_t n, TokenSpan rows) { return n + rows.size(); });
}

int32_t PromptPlan::n_dense() const {
    const auto first_composed = std::ranges::find(blocks, false, &PlannedBlock::exact);
    return first_composed == blocks.end() ? n_prompt : first_composed->row;
}

std::span<const Token> tokens_of(const PlannedBlock& block, std::span<const Token> prompt) {
    if (block.donor != nullptr) return block.donor->tokens;
    return prompt.subspan(block.covers.begin, block.covers.size());
}

std::vector<PassiveSpan> passive_spans(std::span<const PlannedBlock> blocks) {
    std::vector<PassiveSpan> spans;
    for (const PlannedBlock& block : blocks) {
        spans.push_back({{block.row, block.row + block.n_rows}, block.settled, block.known.get()});
    }
    return spans;
}

PlacedBlock placed_block(const PlannedBlock& planned, const KvBlock& held) {
    return {.row = planned.row,
            .source_row = planned.source_row,
            .n_rows = planned.n_rows,
            .block = &held,
            .exact = planned.exact,
            .settled = planned.settled,
            .known = planned.known.get()};
}

int32_t depth_at(const PromptPlan& plan, int32_t row) {
    int32_t depth = 0;
    for (const PlannedBlock& block : plan.blocks) {
        if (!block.exact && block.row < row) depth = std::max(depth, block.depth + 1);
    }
    return depth;
}

}  // namespace spolia
