#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "reuse/engine.h"
#include "reuse/selector.h"

namespace spolia::testing {

// A prompt put together of text and of chunks whose blocks exist.
class Prompt {
public:
    explicit Prompt(std::span<const Token> start) : tokens_(start.begin(), start.end()) {}
    explicit Prompt(std::initializer_list<Token> start) : tokens_(start) {}

    Prompt& text(const std::vector<Token>& tokens) {
        tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
        return *this;
    }
    Prompt& chunk(const KvBlock& block, bool settled = false) {
        part(block, 0, block.n_rows());
        blocks_.back().settled = settled;
        return *this;
    }
    Prompt& part(const KvBlock& block, int32_t source_row, int32_t n_rows) {
        blocks_.push_back({static_cast<int32_t>(tokens_.size()), source_row, n_rows, &block});
        const auto begin = block.meta().tokens.begin() + source_row;
        tokens_.insert(tokens_.end(), begin, begin + n_rows);
        return *this;
    }

    const std::vector<Token>& tokens() const { return tokens_; }
    const std::vector<PlacedBlock>& blocks() const { return blocks_; }
    // Borrows from this.
    PrefillPlan plan(int32_t sequence, const Selector* chosen) const {
        return {.sequence = sequence, .tokens = tokens_, .blocks = blocks_, .selector = chosen};
    }

private:
    std::vector<Token> tokens_;
    std::vector<PlacedBlock> blocks_;
};

inline PrefillPlan dense_plan(int32_t sequence, std::span<const Token> tokens) {
    PrefillPlan plan;
    plan.sequence = sequence;
    plan.tokens = tokens;
    return plan;
}

inline std::unique_ptr<Selector> selector(const std::string& policy,
                                          std::vector<CheckStage> stages = {{1, 0.15}},
                                          int32_t head_rows = 16) {
    SelectorParams params;
    params.policy = policy;
    params.stages = std::move(stages);
    params.head_rows = head_rows;
    return make_selector(params, 4).value();
}

// Rows of a sequence as they stand; null where the engine refuses.
inline std::unique_ptr<KvBlock> page_of(Engine& engine, int32_t sequence, int32_t begin,
                                        int32_t n_rows) {
    const std::vector<Token> tokens(static_cast<size_t>(n_rows));
    auto page = engine.capture(
        {.sequence = sequence, .begin = begin, .key = {}, .left_context = {}, .tokens = tokens});
    return page ? std::move(page).value() : nullptr;
}

}  // namespace spolia::testing
