#include "adapters/llama/span_prefill.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/llama_engine_fixture.h"

namespace spolia {
namespace {

using testing::dense_plan;
using testing::kKlMax;
using testing::kRowErrorMax;
using testing::LlamaEngineTest;
using testing::page_of;
using testing::Prompt;
using testing::same_bits;
using testing::selector;
using testing::worst_error;

// Granite stands for the models that llama.cpp knows and the fused pass does not.
class SpanPrefill : public LlamaEngineTest {
protected:
    void SetUp() override { open_spans(64); }
    void open_spans(int32_t n_batch_rows) {
        LlamaEngineOptions options = testing::tiny_engine_options();
        options.n_batch_rows = n_batch_rows;
        engine_ = testing::make_engine(testing::tiny_model("granite"), options);
        ASSERT_NE(engine_, nullptr);
    }
};

TEST_F(SpanPrefill, IsWhatModelsWithoutAFusedPassGet) {
    EXPECT_EQ(engine_->info().support, ReuseSupport::kSpans);
    EXPECT_NE(engine_->info().support_reason.find("granite"), std::string::npos);
    EXPECT_LT(engine_->gate().block_error, 1e-5);
    EXPECT_EQ(engine_->limits().n_sequences, 3);
}

TEST_F(SpanPrefill, FullRecomputeEqualsDense) {
    Prompt prompt(engine_->sink_prefix());
    for (const int32_t n_rows : {40, 1, 55}) prompt.chunk(random_chunk(n_rows)).text(text(3));
    prefill_dense(0, prompt.tokens());
    const auto full = selector("full");
    EXPECT_EQ(prefill(prompt.plan(1, full.get())).n_blended, 96);
    expect_same_continuation(0, 1);
}

TEST_F(SpanPrefill, PlainReuseBehindTheSinkEqualsDense) {
    const KvBlock& block = random_chunk(90);
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(block).text(text(5));
    prefill_dense(0, prompt.tokens());
    const auto none = selector("none");
    const PrefillReport report = prefill(prompt.plan(1, none.get()));
    EXPECT_EQ(report.n_shifted, 90);
    EXPECT_EQ(report.n_computed, 6);
    expect_same_continuation(0, 1);
}

TEST_F(SpanPrefill, EpicMendsTheHeadsOfChunks) {
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(40)).text(text(2)).chunk(random_chunk(30)).text(text(5));
    const auto epic = selector("epic", {}, 4);
    const PrefillReport report = prefill(prompt.plan(0, epic.get()));
    EXPECT_EQ(report.blended_rows, (std::vector<int32_t>{1, 2, 3, 4, 43, 44, 45, 46}));
    EXPECT_EQ(report.n_shifted, 62);

    // The first chunk stands where it was encoded: its mended rows are those it had.
    prefill_dense(1, prompt.tokens());
    EXPECT_LT(worst_error(*rows(0, 0, 41), *rows(1, 0, 41)), kRowErrorMax);
}

TEST_F(SpanPrefill, PlacesChunksAnywhere) {
    const auto none = selector("none");
    const KvBlock &first = random_chunk(20), &second = random_chunk(1);
    Prompt only_chunks({});
    only_chunks.chunk(first).chunk(second).chunk(first).chunk(second);
    EXPECT_EQ(prefill(only_chunks.plan(0, none.get())).n_computed, 1);
    Prompt to_the_end(engine_->sink_prefix());
    to_the_end.text(text(4)).chunk(first);
    EXPECT_EQ(prefill(to_the_end.plan(0, none.get())).n_shifted, 19);
}

TEST_F(SpanPrefill, RefusesSelectorsThatNeedTheFusedPass) {
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(20)).text(text(3));
    for (const SelectorParams& params :
         {SelectorParams{.policy = "cacheblend"}, SelectorParams{.policy = "query"},
          SelectorParams{.policy = "query", .rank = QueryRank::kAttention}}) {
        const auto chosen = make_selector(params, 4).value();
        const auto report = engine_->prefill(prompt.plan(0, chosen.get()), {});
        ASSERT_FALSE(report.ok());
        EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
        EXPECT_NE(report.error().message.find(params.policy), std::string::npos);
        // Without blocks there is nothing to refuse.
        PrefillPlan plan = dense_plan(0, prompt.tokens());
        plan.selector = chosen.get();
        EXPECT_EQ(prefill(plan).n_computed, 24);
    }
}

TEST_F(SpanPrefill, ExactPagesComeBackBitByBit) {
    const std::vector<Token> tokens = text(100);
    prefill_dense(0, tokens);
    const auto page = rows(0, 0, 70);
    const std::vector<PlacedBlock> placed = {{0, 0, 70, page.get(), true}};
    PrefillPlan plan = dense_plan(2, tokens);
    plan.blocks = placed;
    EXPECT_EQ(prefill(plan).n_exact, 70);
    EXPECT_TRUE(same_bits(*rows(2, 0, 70), *page));
    expect_same_continuation(0, 2);
}

TEST_F(SpanPrefill, CancelledAtEveryBatch) {
    open_spans(16);
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(50)).text(text(40)).chunk(random_chunk(30)).text(text(20));
    const auto epic = selector("epic", {}, 4);
    const PrefillPlan plan = prompt.plan(0, epic.get());
    int n_ticks = 0;
    prefill(plan, [&] { return ++n_ticks > 0; });
    const std::vector<float> undisturbed(logits(0).begin(), logits(0).end());
    ASSERT_GT(n_ticks, 3);
    for (int last = 1; last <= n_ticks; ++last) {
        int calls = 0;
        const auto report = engine_->prefill(plan, [&] { return ++calls < last; });
        ASSERT_FALSE(report.ok());
        EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
        EXPECT_EQ(page_of(*engine_, 0, 0, 1), nullptr);
        prefill(plan);
        EXPECT_TRUE(std::ranges::equal(logits(0), undisturbed));
    }
}

TEST_F(SpanPrefill, EncodingLeavesTheSequencesAlone) {
    const std::vector<Token> tokens = text(30);
    for (int32_t sequence = 0; sequence < 3; ++sequence) prefill_dense(sequence, tokens);
    const auto before = rows(2, 0, 30);
    random_chunk(200);
    EXPECT_TRUE(same_bits(*rows(2, 0, 30), *before));
    EXPECT_TRUE(same_bits(*rows(0, 0, 30), *rows(1, 0, 30)));
}

// LongRoPE's rows can't be moved.
class ExactOnly : public LlamaEngineTest {
protected:
    void SetUp() override {
        RandomModelShape shape = tiny_model_shape("llama");
        shape.rope_scaling = "longrope";
        shape.rope_scale_factor = 4.0f;
        shape.rope_orig_ctx = 4096;
        engine_ = testing::make_engine(testing::tiny_model(shape));
        ASSERT_NE(engine_, nullptr);
        ASSERT_EQ(engine_->info().support, ReuseSupport::kExactOnly);
    }
};

TEST_F(ExactOnly, ServesKeptPrefixes) {
    const std::vector<Token> tokens = text(100);
    prefill_dense(0, tokens);
    std::vector<Token> other(tokens.begin(), tokens.begin() + 60);
    prefill_dense(1, other);
    const std::vector<DecodeItem> items = {{1, 400}};
    ASSERT_TRUE(engine_->decode(items).ok());
    PrefillPlan plan = dense_plan(1, tokens);
    plan.n_keep = 60;
    const PrefillReport report = prefill(plan);
    EXPECT_EQ(report.n_exact, 60);
    EXPECT_EQ(report.n_computed, 40);
    expect_same_continuation(0, 1);
}

TEST_F(ExactOnly, HasNoBlocks) {
    EXPECT_EQ(engine_->encode_isolated({}, text(5), {}).error().code, ErrorCode::kUnsupported);
    prefill_dense(0, text(20));
    EXPECT_EQ(page_of(*engine_, 0, 0, 5), nullptr);

    BlockMeta meta;
    meta.layout = engine_->info().kv;
    meta.tokens = text(5);
    const KvBlock block(meta);
    Prompt prompt({});
    prompt.chunk(block).text(text(5));
    const auto report = engine_->prefill(prompt.plan(0, nullptr), {});
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(report.error().message.find("longrope"), std::string::npos) << report.error().message;
}

}  // namespace
}  // namespace spolia
