#include "broker/core/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "broker/core/plan_report.h"
#include "index/prefix_chain.h"

namespace spolia {
namespace {

constexpr Token kBos = 256;
const KeyScope kScope{{1, 2}, ""};

// A prompt put together by hand, and what the store has.
class Prompt {
public:
    Prompt() {
        model_.kv = {.n_layer = 4, .k_dim = 4, .v_dim = 4};
        model_.support = ReuseSupport::kFused;
        options_.fidelity = Fidelity::kFast;
        options_.policy = "epic";
        options_.head_rows = 4;
    }

    Prompt& bos() {
        tokens_.push_back(kBos);
        add_segment(SegmentRole::kFixed, 1);
        return *this;
    }
    Prompt& text(SegmentRole role, int32_t n, Token first) {
        for (int32_t i = 0; i < n; ++i) tokens_.push_back((first + i) % 256);
        add_segment(role, n);
        return *this;
    }
    Prompt& chunk(int32_t n, Token first, Residence residence = Residence::kRam) {
        text(SegmentRole::kChunk, n, first);
        residence_[segments_.back().key] = residence;
        return *this;
    }
    Prompt& glue(int32_t n) { return text(SegmentRole::kGlue, n, 1000 % 256); }
    Prompt& query(int32_t n) { return text(SegmentRole::kQuery, n, 77); }
    // The store has the first n pages of the prompt's prefix.
    Prompt& pages(size_t n) {
        const std::vector<Key128> keys = prefix_chain(kScope, tokens_);
        for (size_t i = 0; i < n; ++i) residence_[keys[i]] = Residence::kRam;
        return *this;
    }

    PromptPlan plan() {
        Result<ReusePolicy> policy = resolve_reuse(options_, {}, model_);
        EXPECT_TRUE(policy);
        policy_ = std::move(policy).value();
        const std::vector<Key128> page_keys = prefix_chain(kScope, tokens_);
        const PlanInput input{.tokens = tokens_,
                              .segments = segments_,
                              .page_keys = page_keys,
                              .n_held = n_held_,
                              .n_tile_rows = n_tile_rows_,
                              .policy = &policy_,
                              .outline = outline_,
                              .donors = donors_,
                              .model = &model_,
                              .sink_prefix = sink_,
                              .unmapped = unmapped_};
        const auto find = [this](const Key128& key, std::span<const Token>) {
            const auto found = residence_.find(key);
            return found == residence_.end() ? Residence::kAbsent : found->second;
        };
        return plan_prompt(input, find, costs_);
    }

    std::vector<Token> tokens_;
    std::vector<Segment> segments_;
    std::map<Key128, Residence> residence_;
    int32_t n_held_ = 0;
    int32_t n_tile_rows_ = 1;
    ReuseOptions options_;
    ReusePolicy policy_;
    ModelInfo model_;
    std::vector<Token> sink_ = {kBos};
    CostModel costs_;
    const PromptOutline* outline_ = nullptr;
    bool unmapped_ = false;
    std::vector<Donor> donors_;

    // The last chunk is nowhere, but one like it is: these tokens of it were others.
    Prompt& edited(std::initializer_list<size_t> edits, Residence residence = Residence::kRam) {
        const Segment& chunk = segments_.back();
        residence_[chunk.key] = Residence::kAbsent;
        auto text = std::make_shared<DonorText>();
        text->tokens.assign(tokens_.end() - chunk.span.size(), tokens_.end());
        for (const size_t at : edits) text->tokens[at] = 255;
        text->key = chunk_key(kScope, text->tokens);
        residence_[text->key] = residence;
        auto donor = make_donor(segments_.size() - 1, chunk.span, tokens_, text);
        EXPECT_TRUE(donor);
        donors_.push_back(*std::move(donor));
        return *this;
    }

private:
    void add_segment(SegmentRole role, int32_t n) {
        const auto end = static_cast<int32_t>(tokens_.size());
        const TokenSpan span{end - n, end};
        Segment segment{role, span, {}};
        if (role == SegmentRole::kChunk) {
            segment.key = chunk_key(kScope, std::span(tokens_).last(n));
        }
        segments_.push_back(segment);
    }
};

std::vector<TokenSpan> placed(const PromptPlan& plan) {
    std::vector<TokenSpan> spans;
    for (const PlannedBlock& block : plan.blocks) {
        spans.push_back({block.row, block.row + block.n_rows});
    }
    return spans;
}

using Spans = std::vector<TokenSpan>;

std::string reasons(const Receipt& receipt) {
    std::string text;
    for (const Miss& miss : receipt.misses) {
        text += miss.reason + ":" + std::to_string(miss.n_tokens) + " ";
    }
    return text;
}

TEST(Planner, TakesEqualTokensOfAnEditedChunk) {
    Prompt prompt;
    prompt.bos().glue(4).chunk(60, 50).edited({20, 45}).glue(3).query(5);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{5, 25}, {26, 50}, {51, 65}}));
    const DonorText& text = *prompt.donors_[0].text;
    for (const PlannedBlock& block : plan.blocks) {
        EXPECT_EQ(block.key, text.key);
        EXPECT_FALSE(block.anchored());
        EXPECT_TRUE(std::ranges::equal(tokens_of(block, prompt.tokens_), text.tokens));
        for (int32_t i = 0; i < block.n_rows; ++i) {
            EXPECT_EQ(prompt.tokens_[static_cast<size_t>(block.row + i)],
                      text.tokens[static_cast<size_t>(block.source_row + i)]);
        }
    }
    EXPECT_TRUE(plan.chunks[0].wanted) << "to be encoded as it is";
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.n_chunks_hit, 0);
    EXPECT_EQ(reasons(receipt), "edited:2 ");
}

TEST(Planner, PassesOverDonorsThatAreGoneOrNotAllowed) {
    Prompt gone;
    gone.bos().glue(4).chunk(60, 50).edited({20}, Residence::kAbsent).query(5);
    EXPECT_EQ(reasons(start_receipt(gone.plan(), gone.policy_)), "first_sight:60 ");
    Prompt exact;
    exact.options_.fidelity = Fidelity::kExact;
    exact.bos().glue(4).chunk(60, 50).edited({20}).query(5);
    EXPECT_EQ(reasons(start_receipt(exact.plan(), exact.policy_)), "fidelity_exact:60 ");
    Prompt known;
    known.bos().glue(4).chunk(60, 50).edited({20}).query(5);
    known.residence_[known.segments_[2].key] = Residence::kRam;
    EXPECT_EQ(placed(known.plan()), (Spans{{5, 65}})) << "the chunk itself is there";
}

TEST(Planner, BehindTheSinkWhatIsInFrontOfAnEditIsAsDenseComputeLeavesIt) {
    Prompt prompt;
    prompt.bos().chunk(60, 50).edited({20}).query(5);
    const PromptPlan plan = prompt.plan();
    ASSERT_EQ(plan.blocks.size(), 2u);
    EXPECT_TRUE(plan.blocks[0].settled);
    EXPECT_FALSE(plan.blocks[1].settled);
}

TEST(Planner, PlacesKnownChunksAndComputesTheRest) {
    Prompt prompt;
    prompt.bos()
        .text(SegmentRole::kFixed, 4, 5)
        .chunk(20, 50)
        .glue(3)
        .chunk(10, 90, Residence::kAbsent)
        .chunk(10, 120, Residence::kQueued)
        .query(5);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{5, 25}}));
    EXPECT_EQ(plan.blocks[0].covers, (TokenSpan{5, 25}));
    EXPECT_FALSE(plan.blocks[0].settled);
    EXPECT_TRUE(plan.composed);
    EXPECT_TRUE(plan.mend);
    EXPECT_TRUE(plan.chunks[1].wanted);
    EXPECT_TRUE(plan.chunks[2].wanted);
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.policy, "epic");
    EXPECT_EQ(receipt.fidelity, "fast");
    EXPECT_EQ(receipt.n_chunks, 3);
    EXPECT_EQ(receipt.n_chunks_hit, 1);
    EXPECT_EQ(reasons(receipt), "first_sight:10 queued:10 ");
}

TEST(Planner, FidelityExactPlacesExactPagesOnly) {
    Prompt prompt;
    prompt.bos().chunk(100, 50).chunk(60, 10).query(5).pages(1);
    prompt.options_.fidelity = Fidelity::kExact;
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{0, 64}}));
    EXPECT_TRUE(plan.blocks[0].exact);
    EXPECT_FALSE(plan.composed);
    EXPECT_FALSE(plan.mend);
    EXPECT_FALSE(plan.chunks[1].wanted) << "nobody will reuse it";
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.policy, "exact");
    EXPECT_EQ(reasons(receipt), "fidelity_exact:97 ");
}

TEST(Planner, AChunkBehindTheSinkIsSettled) {
    Prompt prompt;
    prompt.bos().chunk(20, 50).chunk(20, 50).query(5);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{1, 21}, {21, 41}})) << "adjacent, and the same chunk twice";
    EXPECT_TRUE(plan.blocks[0].settled);
    EXPECT_FALSE(plan.blocks[1].settled);
    EXPECT_EQ(plan.blocks[0].key, plan.blocks[1].key);
    EXPECT_TRUE(plan.mend);
}

TEST(Planner, SettledChunksNeedNoSelector) {
    Prompt prompt;
    prompt.bos().chunk(20, 50).query(5);
    EXPECT_FALSE(prompt.plan().mend);
    prompt.options_.policy = "full";
    EXPECT_TRUE(prompt.plan().mend);
}

TEST(Planner, ComputesTheFirstRowAndTheLast) {
    Prompt only_chunks;
    only_chunks.chunk(20, 50).chunk(20, 90);
    EXPECT_EQ(placed(only_chunks.plan()), (Spans{{1, 20}, {20, 39}}));

    Prompt one_token_chunks;
    one_token_chunks.chunk(1, 50).glue(1).chunk(1, 51).chunk(1, 52);
    const PromptPlan plan = one_token_chunks.plan();
    EXPECT_EQ(placed(plan), (Spans{{2, 3}}));
    EXPECT_EQ(reasons(start_receipt(plan, one_token_chunks.policy_)), "edge_row:2 ");

    Prompt one_token;
    one_token.chunk(1, 50);
    EXPECT_TRUE(one_token.plan().blocks.empty());
}

TEST(Planner, WithoutASinkPrefixAChunkAtTheStartIsSettledWhole) {
    Prompt prompt;
    prompt.sink_.clear();
    prompt.chunk(20, 50).query(5);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{0, 20}}));
    EXPECT_TRUE(plan.blocks[0].settled);
}

TEST(Planner, PlacesTheRestOfAChunkThatHeldRowsReachInto) {
    Prompt prompt;
    prompt.bos().glue(4).chunk(20, 50).query(5);
    prompt.n_held_ = 12;
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(plan.n_keep, 12);
    EXPECT_EQ(placed(plan), (Spans{{12, 25}}));
    EXPECT_EQ(plan.blocks[0].covers, (TokenSpan{5, 25}));
}

TEST(Planner, ComputesTheLastRowWhereAllIsHeld) {
    Prompt prompt;
    prompt.bos().chunk(20, 50);
    prompt.n_held_ = 21;
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(plan.n_keep, 20);
    EXPECT_TRUE(plan.blocks.empty());
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.n_chunks_hit, 1);
    EXPECT_EQ(reasons(receipt), "");
    EXPECT_EQ(receipt.policy, "exact");
}

TEST(Planner, DenseComputeGoesOnFromATile) {
    Prompt prompt;
    prompt.options_.fidelity = Fidelity::kExact;
    prompt.bos().chunk(99, 50).chunk(70, 10).chunk(20, 90).query(50).pages(3);  // 240 rows
    prompt.n_tile_rows_ = 64;
    prompt.n_held_ = 100;
    PromptPlan plan = prompt.plan();
    EXPECT_EQ(plan.n_keep, 100);
    EXPECT_EQ(plan.n_exact, 128);  // a third page would leave fewer rows than a tile
    EXPECT_EQ(placed(plan), (Spans{{100, 128}}));
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.n_chunks_hit, 2);  // the second in part
    EXPECT_EQ(reasons(receipt), "tile_edge:20 ");

    prompt.residence_.clear();
    plan = prompt.plan();
    EXPECT_EQ(plan.n_keep, 64);
    EXPECT_TRUE(plan.blocks.empty());
    prompt.n_held_ = 63;
    EXPECT_EQ(prompt.plan().n_keep, 0);
}

TEST(Planner, RowsInFrontOfBlocksGoOnFromATile) {
    Prompt prompt;
    prompt.bos().glue(99).chunk(30, 50).query(5);
    prompt.n_tile_rows_ = 64;
    for (const auto& [n_held, n_keep] : {std::pair{0, 0}, {63, 0}, {64, 64}, {99, 99}}) {
        prompt.n_held_ = n_held;
        const PromptPlan plan = prompt.plan();
        EXPECT_TRUE(plan.composed);
        EXPECT_EQ(plan.n_keep, n_keep);
        EXPECT_EQ(placed(plan), (Spans{{100, 130}}));
    }
}

TEST(Planner, PagesTouchHeldRowsAndLeaveTheLastRow) {
    Prompt prompt;
    prompt.bos().text(SegmentRole::kFixed, 3 * kPrefixPageRows - 1, 1).pages(3);
    prompt.n_held_ = 70;
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{70, 128}, {128, 191}}));
    EXPECT_EQ(plan.blocks[0].covers, (TokenSpan{64, 128}));
    EXPECT_EQ(plan.n_exact, 191);
}

TEST(Planner, PagesBehindAMissingOneAreNotUsed) {
    Prompt prompt;
    prompt.bos().text(SegmentRole::kFixed, 4 * kPrefixPageRows, 1).pages(4);
    const std::vector<Key128> keys = prefix_chain(kScope, prompt.tokens_);
    prompt.residence_[keys[1]] = Residence::kUnavailable;
    EXPECT_EQ(placed(prompt.plan()), (Spans{{0, 64}}));
}

TEST(Planner, ModelsWithoutReuseAreServedExactly) {
    Prompt prompt;
    prompt.model_.support = ReuseSupport::kExactOnly;
    prompt.bos().chunk(20, 50).query(5);
    const PromptPlan plan = prompt.plan();
    EXPECT_TRUE(plan.blocks.empty());
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.policy, "dense");
    EXPECT_EQ(reasons(receipt), "unsupported:20 ");
}

TEST(Planner, EpicStandsInWhereThereIsNoFusedPass) {
    Prompt prompt;
    prompt.model_.support = ReuseSupport::kSpans;
    prompt.options_.policy = "cacheblend";
    prompt.bos().glue(1).chunk(20, 50).query(5);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(prompt.policy_.selector->name(), "epic");
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(receipt.policy, "epic");
    EXPECT_EQ(reasons(receipt), "needs_fused_pass:20 ");
}

TEST(Planner, SaysWhenTextCouldNotBeMapped) {
    Prompt prompt;
    prompt.unmapped_ = true;
    prompt.bos().query(30);
    EXPECT_EQ(reasons(start_receipt(prompt.plan(), prompt.policy_)), "no_offsets:31 ");
}

TEST(Planner, ReuseIsNeverChosenWhereItLooksSlower) {
    Prompt prompt;
    prompt.bos().glue(9).chunk(100, 50).query(5).pages(1);
    const auto learn = [&](double place_ms_a_row) {
        prompt.costs_ = CostModel();
        for (int i = 0; i < 5; ++i) {
            prompt.costs_.observe({.work = dense_work({0, 100})}, 100, 0);
            prompt.costs_.observe({.work = dense_work({0, 1}), .rows_placed = 100}, 1,
                                  100 * place_ms_a_row);
        }
    };
    learn(0.1);
    PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{0, 64}, {64, 110}}));
    EXPECT_LT(plan.chosen_ms, plan.dense_ms);
    EXPECT_FALSE(plan.turned_down);
    learn(50);
    plan = prompt.plan();
    EXPECT_TRUE(plan.blocks.empty());
    EXPECT_TRUE(plan.turned_down);
    EXPECT_EQ(plan.chosen_ms, plan.dense_ms);
    EXPECT_EQ(reasons(start_receipt(plan, prompt.policy_)), "not_profitable:100 ");
}

TEST(Planner, LeavesOutABlockWhoseLoadingTakesLongerThanComputing) {
    Prompt prompt;
    prompt.bos().glue(9).chunk(50, 50).chunk(50, 120, Residence::kDisk).query(5);
    prompt.costs_.observe({.work = dense_work({0, 100})}, 100, 0);
    prompt.costs_.observe_load(10, 1);
    EXPECT_EQ(placed(prompt.plan()).size(), 2u);
    for (int i = 0; i < 30; ++i) prompt.costs_.observe_load(10, 1000);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{10, 60}}));
    EXPECT_TRUE(plan.turned_down);
    EXPECT_TRUE(plan.composed);
}

// Runs of 20, 24 and 14 rows from one block on disk, of which the first costs more than it saves.
class PlannerOfRuns : public testing::Test {
protected:
    PlannerOfRuns() {
        prompt.bos().glue(4).chunk(60, 50).edited({20, 45}, Residence::kDisk).glue(3).query(5);
        // Epic mends the first rows of each run.
        prompt.costs_.observe({.work = dense_work({0, 100})}, 100, 0);
    }
    void load_ms_per_row(double ms) {
        for (int i = 0; i < 60; ++i) prompt.costs_.observe_load(10, 10 * ms);
    }

    Prompt prompt;
};

TEST_F(PlannerOfRuns, ADonorIsLoadedOnceForAllItsRuns) {
    load_ms_per_row(0.1);
    const PromptPlan plan = prompt.plan();
    EXPECT_EQ(plan.blocks.size(), 3u);
    EXPECT_EQ(plan.cost.rows_loaded, 60);
    EXPECT_EQ(reasons(start_receipt(plan, prompt.policy_)), "edited:2 ");
}

TEST_F(PlannerOfRuns, WhatIsLeftOfADonorCarriesItsLoad) {
    // The first run is of no use: all its rows are mended.
    prompt.options_.head_rows = 20;
    load_ms_per_row(0.01);
    PromptPlan plan = prompt.plan();
    EXPECT_EQ(placed(plan), (Spans{{26, 50}}));
    EXPECT_TRUE(plan.turned_down);
    EXPECT_EQ(plan.cost.rows_loaded, 60);
    const Receipt receipt = start_receipt(plan, prompt.policy_);
    EXPECT_EQ(reasons(receipt), "edited:2 not_profitable:34 ");
    std::string text;
    for (const PlanPreview::Part& part : preview_parts(plan, prompt.segments_)) {
        if (part.role != SegmentRole::kChunk) continue;
        text += part.action + "(" + part.reason + "):" + std::to_string(part.span.size()) + " ";
    }
    EXPECT_EQ(text,
              "compute(not_profitable):20 compute(edited):1 reuse():24 compute(edited):1 "
              "compute(not_profitable):14 ");
    // Four rows are not worth loading sixty.
    load_ms_per_row(0.2);
    plan = prompt.plan();
    EXPECT_TRUE(plan.blocks.empty());
    EXPECT_EQ(reasons(start_receipt(plan, prompt.policy_)), "edited:2 not_profitable:58 ");
}

TEST_F(PlannerOfRuns, RunsOfWhichEachIsWorthPlacingMayNotBeWorthTheLoad) {
    Prompt& both = prompt;
    both = Prompt();
    both.bos().glue(4).chunk(60, 50).edited({20, 45}, Residence::kDisk).glue(2);
    both.chunk(60, 130).query(5);
    both.costs_.observe({.work = dense_work({0, 150})}, 150, 0);
    EXPECT_EQ(both.plan().blocks.size(), 4u);
    load_ms_per_row(1.5);
    const PromptPlan plan = both.plan();
    EXPECT_EQ(placed(plan), (Spans{{67, 127}})) << "the other chunk does not go with it";
    EXPECT_EQ(plan.cost.rows_loaded, 0);
}

TEST(Planner, AChunkThatComesTwiceIsLoadedOnce) {
    Prompt prompt;
    prompt.bos().glue(4).chunk(40, 50, Residence::kDisk).glue(2).chunk(40, 50, Residence::kDisk);
    prompt.query(5);
    EXPECT_EQ(prompt.plan().cost.rows_loaded, 40);
}

TEST(Planner, PricesWhatAdaptiveWillPick) {
    const PromptOutline outline = {.sentences = {{{20, 30}, 2, SegmentRole::kChunk, false, 0, 1},
                                                 {{70, 75}, 4, SegmentRole::kQuery, false, 1, 2}},
                                   .words = {7, 7}};
    Prompt prompt;
    prompt.bos().glue(9).chunk(30, 50).chunk(30, 120).query(5);
    prompt.options_.policy = "adaptive";
    prompt.costs_.observe({.work = dense_work({0, 100})}, 100, 0);
    prompt.outline_ = &outline;
    const PromptPlan plan = prompt.plan();
    ASSERT_EQ(placed(plan), (Spans{{10, 40}, {40, 70}}));
    EXPECT_EQ(plan.blocks[0].n_picked, 10);
    EXPECT_EQ(plan.blocks[1].n_picked, 0);
    const double computed = 10 + 5 + 10;
    EXPECT_NEAR(plan.cost.work.rows, computed, 1e-9) << "no check layer: all picked rows";

    prompt.outline_ = nullptr;
    EXPECT_TRUE(prompt.plan().turned_down) << "without text all rows are picked";
}

TEST(Planner, PreviewTilesThePrompt) {
    Prompt prompt;
    prompt.bos().glue(3).chunk(20, 50).chunk(20, 90, Residence::kAbsent).chunk(1, 7);
    prompt.n_held_ = 10;
    const PromptPlan plan = prompt.plan();
    std::string text;
    int32_t end = 0;
    for (const PlanPreview::Part& part : preview_parts(plan, prompt.segments_)) {
        EXPECT_EQ(part.span.begin, end);
        end = part.span.end;
        text += part.action + "(" + part.reason + "):" + std::to_string(part.span.size()) + " ";
    }
    EXPECT_EQ(end, static_cast<int32_t>(prompt.tokens_.size()));
    EXPECT_EQ(text,
              "exact():1 exact():3 exact():6 reuse():14 compute(first_sight):20 "
              "compute(edge_row):1 ");
}

TEST(Planner, KeepsPrefillPlansContractOnRandomPrompts) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto pick = [&](uint64_t n) { return static_cast<int32_t>(random() % n); };
    for (int round = 0; round < 500; ++round) {
        Prompt prompt;
        if (pick(2) == 0) prompt.bos();
        for (int n = pick(8); n > 0; --n) {
            const auto residence = static_cast<Residence>(pick(5));
            if (pick(3) > 0) {
                prompt.chunk(1 + pick(60), pick(4) * 50, residence);
            } else {
                prompt.glue(1 + pick(4));
            }
        }
        if (prompt.tokens_.empty() || pick(2) == 0) prompt.query(1 + pick(9));
        const auto n_prompt = static_cast<int32_t>(prompt.tokens_.size());
        prompt.n_held_ = pick(2) * pick(n_prompt + 1);
        prompt.pages(pick(n_prompt / kPrefixPageRows + 1));
        prompt.options_.policy = pick(2) == 0 ? "cacheblend" : "none";
        if (pick(2) == 0) prompt.costs_.observe({.work = dense_work({0, 50})}, 1 + pick(100), 0);
        const PromptPlan plan = prompt.plan();

        ASSERT_EQ(plan.n_keep, std::min(prompt.n_held_, n_prompt - 1));
        int32_t end = plan.n_keep;
        bool exact = true;
        for (const PlannedBlock& block : plan.blocks) {
            ASSERT_GT(block.n_rows, 0);
            ASSERT_GE(block.row, end);
            ASSERT_GE(block.row, block.covers.begin);
            if (block.exact) {
                ASSERT_TRUE(exact);
                ASSERT_EQ(block.row, end);
            } else {
                ASSERT_GE(block.row, plan.n_exact);
            }
            exact = block.exact;
            end = block.row + block.n_rows;
            ASSERT_LE(end, block.covers.end);
            ASSERT_LT(end, n_prompt) << "the last row is computed";
        }
        int32_t covered = 0;
        for (const auto& part : preview_parts(plan, prompt.segments_)) {
            ASSERT_EQ(part.span.begin, covered);
            covered = part.span.end;
        }
        ASSERT_EQ(covered, n_prompt);
    }
}

}  // namespace
}  // namespace spolia
