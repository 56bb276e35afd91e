#include "adapters/llama/llama_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "adapters/llama/sequence_cache.h"
#include "tests/support/llama_engine_fixture.h"

namespace spolia {
namespace {

using testing::dense_plan;
using testing::EngineCase;
using testing::kCases;
using testing::kKlMax;
using testing::kRowErrorMax;
using testing::LlamaEngineTest;
using testing::name_of;
using testing::Prompt;
using testing::same_bits;
using testing::selector;
using testing::worst_error;

class EachEngine : public LlamaEngineTest, public ::testing::WithParamInterface<EngineCase> {
protected:
    void SetUp() override { open(GetParam().architecture, GetParam().attention); }
};

TEST_P(EachEngine, PassesTheGateByFar) {
    EXPECT_EQ(engine_->info().support_reason, "");
    EXPECT_LT(engine_->gate().full_kl, 1e-5);
    EXPECT_LT(engine_->gate().block_error, 1e-5);
    EXPECT_TRUE(engine_->info().random_weights);
    EXPECT_EQ(engine_->info().architecture, GetParam().architecture);
}

TEST_P(EachEngine, FullRecomputeEqualsDense) {
    Prompt prompt(engine_->sink_prefix());
    for (const int32_t n_rows : {40, 1, 55, 20}) prompt.chunk(random_chunk(n_rows)).text(text(3));
    prompt.text(text(10));
    prefill_dense(0, prompt.tokens());
    const auto full = selector("full");
    const PrefillReport report = prefill(prompt.plan(1, full.get()));
    EXPECT_EQ(report.n_blended, 116);
    EXPECT_EQ(report.n_shifted, 0);
    const auto n_rows = static_cast<int32_t>(prompt.tokens().size());
    EXPECT_LT(worst_error(*rows(1, 0, n_rows), *rows(0, 0, n_rows)), kRowErrorMax);
    expect_same_continuation(0, 1);
}

TEST_P(EachEngine, CacheBlendWithRatioOneEqualsDense) {
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(70)).chunk(random_chunk(30)).text(text(9));
    prefill_dense(0, prompt.tokens());
    for (const int32_t layer : {1, 2, 3}) {
        const auto blend = selector("cacheblend", {{layer, 1.0}});
        EXPECT_EQ(prefill(prompt.plan(1, blend.get())).n_blended, 100);
        EXPECT_LE(kl(0, 1), kKlMax);
        EXPECT_LT(worst_error(*rows(1, 0, 110), *rows(0, 0, 110)), kRowErrorMax);
    }
    expect_same_continuation(0, 1);
}

TEST_P(EachEngine, EncodesAChunkAsDenseComputeBehindTheSink) {
    const std::vector<Token> tokens = text(90);
    const KvBlock& block = encode(tokens);
    EXPECT_EQ(block.meta().provenance, Provenance::kIsolated);
    EXPECT_EQ(block.meta().frame_row, 0);
    EXPECT_EQ(block.meta().model, engine_->info().fingerprint);

    Prompt prompt(engine_->sink_prefix());
    prompt.text(tokens);
    prefill_dense(0, prompt.tokens());
    // Behind the sink alone the block is where it was encoded, so plain reuse is exact.
    Prompt reused(engine_->sink_prefix());
    reused.chunk(block);
    const auto none = selector("none");
    prefill(reused.plan(1, none.get()));
    EXPECT_LE(kl(0, 1), kKlMax);
    EXPECT_LT(worst_error(*rows(1, 0, 91), *rows(0, 0, 91)), kRowErrorMax);
}

TEST_P(EachEngine, CapturesAChunkInTheCanonicalFrame) {
    const std::vector<Token> tokens = text(60);
    Prompt prompt(engine_->sink_prefix());
    prompt.text(text(31)).text(tokens).text(text(7));
    prefill_dense(0, prompt.tokens());
    auto captured = engine_->capture({.sequence = 0,
                                      .begin = 32,
                                      .key = hash_text("chunk"),
                                      .left_context = hash_text("left"),
                                      .provenance = Provenance::kContextual,
                                      .tokens = tokens});
    ASSERT_TRUE(captured) << captured.error().message;
    const KvBlock& block = **captured;
    EXPECT_EQ(block.meta().provenance, Provenance::kContextual);
    EXPECT_EQ(block.meta().frame_row, 0);
    EXPECT_EQ(block.meta().left_context, hash_text("left"));

    // Rows of layer 0 know nothing of what stands in front of them.
    const KvBlock& alone = encode(tokens);
    EXPECT_LT(relative_error(block.k(0), alone.k(0)), kRowErrorMax);
    EXPECT_LT(relative_error(block.v(0), alone.v(0)), kRowErrorMax);
    EXPECT_GT(relative_error(block.v(2), alone.v(2)), kRowErrorMax);

    // Where they came from they are what dense compute leaves.
    const std::span<const Token> before = std::span(prompt.tokens()).first(32);
    Prompt again(before);
    again.chunk(block).text({prompt.tokens().begin() + 92, prompt.tokens().end()});
    ASSERT_EQ(again.tokens(), prompt.tokens());
    const auto none = selector("none");
    EXPECT_EQ(prefill(again.plan(1, none.get())).n_shifted, 60);
    EXPECT_LE(kl(0, 1), kKlMax);
    EXPECT_LT(worst_error(*rows(1, 0, 99), *rows(0, 0, 99)), kRowErrorMax);
}

// 500: far from any real row, but small enough that rows which do see it stay finite in ggml's
// flash attention, which sums half floats.
constexpr uint16_t kHuge = 0x5fd0;

TEST_P(EachEngine, RowsBeforeABlockNeverSeeIt) {
    const std::vector<Token> before = text(50), behind = text(40);
    const KvBlock& plain = random_chunk(60);
    BlockMeta meta = plain.meta();
    KvBlock huge(meta);
    for (int32_t layer = 0; layer < meta.layout.n_layer; ++layer) {
        std::ranges::fill(huge.k(layer), kHuge);
        std::ranges::fill(huge.v(layer), kHuge);
    }
    for (const char* policy : {"none", "epic", "query"}) {
        const auto chosen = selector(policy);
        std::vector<std::unique_ptr<KvBlock>> seen;
        for (const KvBlock* block : {&plain, &std::as_const(huge)}) {
            Prompt prompt(engine_->sink_prefix());
            prompt.text(before).chunk(*block).text(behind);
            ASSERT_TRUE(engine_->prefill(prompt.plan(0, chosen.get()), {}).ok());
            seen.push_back(rows(0, 0, 51));
        }
        EXPECT_TRUE(same_bits(*seen[0], *seen[1])) << policy;
    }
}

TEST_P(EachEngine, StaleRowsBehindThePromptAreNeverSeen) {
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(20)).text(text(5));
    const auto none = selector("none");
    prefill(prompt.plan(0, none.get()));
    const std::vector<float> clean(logits(0).begin(), logits(0).end());

    BlockMeta meta = random_chunk(200).meta();
    KvBlock huge(meta);
    std::ranges::fill(
        std::span(reinterpret_cast<uint16_t*>(huge.data().data()), huge.data().size() / 2), kHuge);
    Prompt poison(engine_->sink_prefix());
    poison.chunk(huge).text(text(1));
    ASSERT_TRUE(engine_->prefill(poison.plan(0, none.get()), {}).ok());
    prefill(prompt.plan(0, none.get()));
    EXPECT_TRUE(std::ranges::equal(logits(0), clean));
}

TEST_P(EachEngine, GradualStagesMendFewerAndFewerRows) {
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(60)).text(text(2)).chunk(random_chunk(40)).text(text(6));
    prefill_dense(0, prompt.tokens());
    prefill(prompt.plan(1, nullptr));
    const auto n_rows = static_cast<int32_t>(prompt.tokens().size());
    const auto dense = rows(0, 0, n_rows), placed = rows(1, 0, n_rows);

    const auto blend = selector("cacheblend", {{1, 0.6}, {2, 0.3}, {3, 0.1}});
    const PrefillReport report = prefill(prompt.plan(2, blend.get()));
    EXPECT_EQ(report.n_blended, 10);
    EXPECT_EQ(report.n_shifted, 90);
    EXPECT_EQ(report.n_computed, 9);
    // Up to the first check layer all rows are dense.
    EXPECT_LT(worst_error(*rows(2, 0, n_rows), *dense, 0, 2), kRowErrorMax);

    // 60 rows were computed in layer 2, 30 in layer 3: the others stand there as they were placed.
    const auto blended = rows(2, 0, n_rows);
    const auto dim = static_cast<size_t>(engine_->info().kv.k_dim);
    for (const auto& [layer, n_fresh] : {std::pair{2, 60}, {3, 30}}) {
        int32_t n_changed = 0;
        for (const auto& [begin, end] : {std::pair{1, 61}, {63, 103}}) {
            for (int32_t row = begin; row < end; ++row) {
                const auto at = static_cast<size_t>(row) * dim;
                n_changed += !std::ranges::equal(std::as_const(*blended).k(layer).subspan(at, dim),
                                                 std::as_const(*placed).k(layer).subspan(at, dim));
            }
        }
        EXPECT_EQ(n_changed, n_fresh) << "layer " << layer;
    }
}

TEST_P(EachEngine, MendingBringsTheRowsNearerToDense) {
    Prompt prompt(engine_->sink_prefix());
    for (int i = 0; i < 4; ++i) prompt.chunk(random_chunk(40));
    prompt.text(text(10));
    prefill_dense(0, prompt.tokens());
    const auto n_rows = static_cast<int32_t>(prompt.tokens().size());
    const auto dense = rows(0, 0, n_rows);
    double before = INFINITY;
    for (const double ratio : {0.05, 0.3, 0.7}) {
        const auto blend = selector("cacheblend", {{1, ratio}});
        prefill(prompt.plan(1, blend.get()));
        const double error = worst_error(*rows(1, 0, n_rows), *dense);
        EXPECT_LT(error, before) << ratio;
        before = error;
    }
}

TEST_P(EachEngine, ExactPagesComeBackBitByBit) {
    const std::vector<Token> tokens = text(150);
    prefill_dense(0, tokens);
    std::vector<std::unique_ptr<KvBlock>> pages;
    std::vector<PlacedBlock> placed;
    for (const auto& [begin, n] : {std::pair{0, 64}, {64, 30}, {94, 36}}) {
        pages.push_back(rows(0, begin, n));
        EXPECT_EQ(pages.back()->meta().frame_row, begin);
        EXPECT_EQ(pages.back()->meta().provenance, Provenance::kExact);
        placed.push_back({begin, 0, n, pages.back().get(), true});
    }
    const PrefillReport report = prefill({.sequence = 2, .tokens = tokens, .blocks = placed});
    EXPECT_EQ(report.n_exact, 130);
    EXPECT_EQ(report.n_computed, 20);
    EXPECT_TRUE(same_bits(*rows(2, 0, 130), *rows(0, 0, 130)));
    EXPECT_LT(worst_error(*rows(2, 130, 20), *rows(0, 130, 20)), kRowErrorMax);
    expect_same_continuation(0, 2);
}

TEST_P(EachEngine, ExactPagesBehindKeptRowsAndBeforeBlocks) {
    const std::vector<Token> tokens = text(100);
    prefill_dense(0, tokens);
    const auto page = rows(0, 30, 40);
    Prompt prompt({tokens.begin(), tokens.begin() + 30});
    prompt.text({tokens.begin() + 30, tokens.begin() + 70}).chunk(random_chunk(25)).text(text(5));
    std::vector<PlacedBlock> blocks = {{30, 0, 40, page.get(), true}};
    blocks.insert(blocks.end(), prompt.blocks().begin(), prompt.blocks().end());

    prefill_dense(1, {tokens.begin(), tokens.begin() + 50});
    const auto full = selector("full");
    const PrefillReport report = prefill({.sequence = 1,
                                          .tokens = prompt.tokens(),
                                          .n_keep = 30,
                                          .blocks = blocks,
                                          .selector = full.get()});
    EXPECT_EQ(report.n_exact, 70);
    EXPECT_EQ(report.n_blended, 25);
    EXPECT_TRUE(same_bits(*rows(1, 30, 40), *page));
    prefill_dense(0, prompt.tokens());
    expect_same_continuation(0, 1);
}

TEST_P(EachEngine, KeepsRowsAndPlacesBlocksBehindThem) {
    const std::vector<Token> kept = text(80);
    Prompt prompt(kept);
    prompt.chunk(random_chunk(30)).text(text(3)).chunk(random_chunk(10)).text(text(4));
    prefill_dense(0, prompt.tokens());
    prefill_dense(1, kept);
    const auto full = selector("full");
    PrefillPlan plan = prompt.plan(1, full.get());
    plan.n_keep = 80;
    const PrefillReport report = prefill(plan);
    EXPECT_EQ(report.n_exact, 80);
    EXPECT_EQ(report.n_blended, 40);
    EXPECT_EQ(report.n_computed, 7);
    expect_same_continuation(0, 1);
}

TEST_P(EachEngine, SettledBlocksAreNotMended) {
    const KvBlock& settled = random_chunk(20);
    const KvBlock& other = random_chunk(20);
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(settled, true).chunk(other).text(text(3));
    const auto blend = selector("cacheblend", {{1, 1.0}});
    const PrefillReport report = prefill(prompt.plan(0, blend.get()));
    EXPECT_EQ(report.n_blended, 20);
    EXPECT_EQ(report.n_shifted, 20);
    EXPECT_EQ(report.blended_rows.front(), 21);

    Prompt only_settled(engine_->sink_prefix());
    only_settled.chunk(settled, true).text(text(3));
    EXPECT_EQ(prefill(only_settled.plan(0, blend.get())).n_shifted, 20);
    PrefillPlan no_blocks = dense_plan(0, prompt.tokens());
    no_blocks.selector = blend.get();
    EXPECT_EQ(prefill(no_blocks).n_computed, 44);
}

INSTANTIATE_TEST_SUITE_P(LlamaEngine, EachEngine, ::testing::ValuesIn(kCases),
                         [](const auto& each) { return name_of(each.param); });

}  // namespace
}  // namespace spolia
