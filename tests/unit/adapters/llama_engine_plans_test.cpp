#include "adapters/llama/llama_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "adapters/llama/span_prefill.h"
#include "tests/support/llama_engine_fixture.h"

namespace spolia {
namespace {

using testing::argmax;
using testing::dense_plan;
using testing::EngineCase;
using testing::kCases;
using testing::kKlMax;
using testing::LlamaEngineTest;
using testing::make_engine;
using testing::name_of;
using testing::page_of;
using testing::Prompt;
using testing::same_bits;
using testing::selector;
using testing::tiny_engine_options;
using testing::tiny_model;
using testing::TinyContext;

// One fused pass against the same plan done span by span with llama_decode.
class Arrangement : public LlamaEngineTest,
                    public ::testing::WithParamInterface<std::tuple<EngineCase, const char*>> {
protected:
    void SetUp() override {
        const EngineCase& c = std::get<EngineCase>(GetParam());
        open(c.architecture, c.attention, 48);
        spans_ = std::make_unique<TinyContext>(tiny_model(c.architecture), 2, 256);
        for (const int32_t n_rows : {30, 1, 17, 60}) chunks_.push_back(&random_chunk(n_rows));
    }

    void check(const Prompt& prompt) {
        const char* policy = std::get<const char*>(GetParam());
        const auto chosen = selector(policy, {{1, 0.4}, {2, 0.2}}, 4);
        const PrefillPlan plan = prompt.plan(0, chosen.get());
        const PrefillReport report = prefill(plan);
        const Result<PrefillRows> expected = prefill_rows(plan, 256, engine_->info().kv);
        ASSERT_TRUE(expected.ok());
        EXPECT_EQ(report.n_computed, static_cast<int32_t>(expected->fresh.size()));
        EXPECT_TRUE(std::ranges::includes(expected->mendable, report.blended_rows));
        const std::vector<float> first(logits(0).begin(), logits(0).end());

        if (chosen->stages().empty()) {
            PrefillReport span_report;
            spans_->cache->truncate(0, 0);
            ASSERT_TRUE(
                span_prefill(*spans_->cache, plan, *expected, spans_->rope.spec, {}, span_report)
                    .ok());
            EXPECT_EQ(report.blended_rows, span_report.blended_rows);
            EXPECT_LE(kl_divergence(spans_->cache->logits(0), first), kKlMax);
        } else {
            EXPECT_EQ(report.n_blended,
                      static_cast<int32_t>(std::ceil(0.2 * expected->n_covered - 1e-6)));
        }
        // The sequence is a good one: it goes on, and the same plan gives the same again.
        const std::vector<DecodeItem> next = {{0, argmax(first)}};
        ASSERT_TRUE(engine_->decode(next).ok());
        prefill(plan);
        EXPECT_TRUE(std::ranges::equal(logits(0), first));
    }

    Prompt sink() const { return Prompt(engine_->sink_prefix()); }

    std::unique_ptr<TinyContext> spans_;
    std::vector<const KvBlock*> chunks_;
};

TEST_P(Arrangement, AnyOrder) {
    std::vector<size_t> order = {0, 1, 2, 3};
    for (int round = 0; round < 4; ++round) {
        std::ranges::shuffle(order, generator_);
        Prompt prompt = sink();
        for (const size_t i : order) prompt.chunk(*chunks_[i]).text(text(2));
        check(prompt.text(text(8)));
    }
}

TEST_P(Arrangement, RepeatedAndAdjacent) {
    Prompt prompt = sink();
    prompt.chunk(*chunks_[0]).chunk(*chunks_[0]).chunk(*chunks_[1]).chunk(*chunks_[1]);
    check(prompt.chunk(*chunks_[0]).text(text(5)));
}

TEST_P(Arrangement, FromTheVeryFirstRow) {
    Prompt prompt({});
    check(prompt.chunk(*chunks_[0]).text(text(5)));
}

TEST_P(Arrangement, ToTheVeryLastRow) {
    check(sink().text(text(7)).chunk(*chunks_[2]));
    check(sink().text(text(3)).chunk(*chunks_[1]));
}

TEST_P(Arrangement, OfChunksOnly) {
    Prompt prompt({});
    check(prompt.chunk(*chunks_[2]).chunk(*chunks_[3]).chunk(*chunks_[1]).chunk(*chunks_[0]));
    Prompt one_row({});
    check(one_row.chunk(*chunks_[1]));
}

TEST_P(Arrangement, PartsOfChunks) {
    check(sink().part(*chunks_[3], 10, 20).text(text(2)).part(*chunks_[3], 40, 20).text(text(2)));
}

TEST_P(Arrangement, LongerThanABatch) {
    const KvBlock& chunk = random_chunk(150);
    check(sink().chunk(chunk).text(text(60)));
    check(sink().text(text(100)).chunk(chunk));
}

INSTANTIATE_TEST_SUITE_P(LlamaEngine, Arrangement,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values("none", "epic", "cacheblend")),
                         [](const auto& each) {
                             return name_of(std::get<0>(each.param)) + "_" +
                                    std::get<1>(each.param);
                         });

TEST_F(LlamaEngineTest, BatchesOfAnySizeGiveTheSame) {
    std::vector<std::vector<float>> results;
    std::vector<int32_t> blended;
    for (const int32_t n_batch_rows : {8, 16, 37, 512}) {
        SCOPED_TRACE(n_batch_rows);
        generator_.seed(61);
        open("qwen3", AttentionKernel::kAuto, n_batch_rows);
        EXPECT_EQ(engine_->limits().n_batch_rows, n_batch_rows);
        Prompt prompt(engine_->sink_prefix());
        prompt.chunk(random_chunk(80)).text(text(3)).chunk(random_chunk(45)).text(text(20));
        // The last check layer is the model's last: of other batches nothing is left to compute.
        const auto blend = selector("cacheblend", {{1, 0.5}, {3, 0.4}});
        const PrefillReport report = prefill(prompt.plan(0, blend.get()));
        results.emplace_back(logits(0).begin(), logits(0).end());
        if (blended.empty()) blended = report.blended_rows;
        EXPECT_EQ(report.blended_rows, blended);
        EXPECT_LE(kl_divergence(results.front(), results.back()), 1e-5);
        const std::vector<DecodeItem> items = {{0, 400}};
        EXPECT_TRUE(engine_->decode(items).ok());
    }
}

TEST_F(LlamaEngineTest, KeptRowsChangeNoBits) {
    for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
        for (const int32_t n_batch_rows : {8, 37, 100, 128, 512}) {
            SCOPED_TRACE(std::string(architecture) + ", " + std::to_string(n_batch_rows));
            open(architecture, AttentionKernel::kAuto, n_batch_rows);
            const int32_t n_prompt = 180 + static_cast<int32_t>(generator_() % 70);
            const std::vector<Token> tokens = text(n_prompt);
            prefill_dense(0, tokens);
            const auto expected = rows(0, 0, n_prompt);
            for (int round = 0; round < 4; ++round) {
                const int32_t n_exact =
                    static_cast<int32_t>(generator_() % static_cast<uint32_t>(n_prompt));
                SCOPED_TRACE(std::to_string(n_exact) + " of " + std::to_string(n_prompt));
                PrefillPlan plan = dense_plan(0, tokens);
                plan.n_keep = rows_kept_exactly(n_exact, n_prompt, engine_->limits().n_tile_rows);
                prefill(plan);
                EXPECT_TRUE(same_bits(*rows(0, 0, n_prompt), *expected));
            }
        }
    }
}

TEST_F(LlamaEngineTest, ManyThreads) {
    LlamaEngineOptions options = tiny_engine_options();
    options.n_threads = 3;
    options.attention = AttentionKernel::kTiled;
    open("llama");
    const auto threaded = make_engine(tiny_model("llama"), options);
    ASSERT_NE(threaded, nullptr);
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(60)).text(text(30));
    const auto none = selector("none");
    prefill(prompt.plan(0, none.get()));
    ASSERT_TRUE(threaded->prefill(prompt.plan(0, none.get()), {}).ok());
    EXPECT_LE(kl_divergence(logits(0), threaded->logits(0)), 1e-6);
}

TEST_F(LlamaEngineTest, CancelledAtEveryBatch) {
    open("llama", AttentionKernel::kAuto, 16);
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(70)).text(text(20));
    const auto blend = selector("cacheblend", {{1, 0.5}, {2, 0.3}});
    const auto epic = selector("epic");
    for (const Selector* chosen :
         std::initializer_list<const Selector*>{blend.get(), epic.get(), nullptr}) {
        PrefillPlan plan = prompt.plan(0, chosen);
        if (chosen == nullptr) plan.blocks = {};
        int n_ticks = 0;
        prefill(plan, [&] { return ++n_ticks > 0; });
        const std::vector<float> undisturbed(logits(0).begin(), logits(0).end());
        ASSERT_GT(n_ticks, 1);
        for (int last = 1; last <= n_ticks; ++last) {
            int calls = 0;
            const auto report = engine_->prefill(plan, [&] { return ++calls < last; });
            ASSERT_FALSE(report.ok());
            EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
            EXPECT_EQ(calls, last);
            EXPECT_EQ(page_of(*engine_, 0, 0, 1), nullptr) << "the sequence is not empty";
            prefill(plan);
            EXPECT_TRUE(std::ranges::equal(logits(0), undisturbed));
        }
    }
}

TEST_F(LlamaEngineTest, OtherSequencesGoOnBetweenBatches) {
    open("qwen2", AttentionKernel::kAuto, 16);
    const std::vector<Token> other = text(40), answer = text(64);
    std::vector<std::vector<float>> expected;
    prefill_dense(2, other);
    for (const Token token : answer) {
        const std::vector<DecodeItem> items = {{2, token}};
        ASSERT_TRUE(engine_->decode(items).ok());
        expected.emplace_back(logits(2).begin(), logits(2).end());
    }
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(90)).text(text(20));
    const auto blend = selector("cacheblend", {{1, 0.5}, {2, 0.3}});
    prefill(prompt.plan(0, blend.get()));
    const std::vector<float> alone(logits(0).begin(), logits(0).end());

    prefill_dense(1, other);
    size_t step = 0;
    prefill(prompt.plan(0, blend.get()), [&] {
        const std::vector<DecodeItem> items = {{1, answer[step]}};
        EXPECT_TRUE(engine_->decode(items).ok());
        EXPECT_TRUE(std::ranges::equal(logits(1), expected[step])) << step;
        return ++step < answer.size();
    });
    EXPECT_GT(step, 5u);
    EXPECT_TRUE(std::ranges::equal(logits(0), alone));
}

}  // namespace
}  // namespace spolia
