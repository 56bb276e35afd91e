#include "broker/quality/quality_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_engine.h"
#include "tests/unit/broker/quality_fixture.h"

namespace spolia {
namespace {

using test::ChattyTextModel;
using test::FakeEngine;
using test::ship_task;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int32_t kTokensMax = 8;

class QualityBenchTest : public ::testing::Test {
protected:
    void SetUp() override {
        auto prompts = make_prompts({ship_task(1), ship_task(2)}, text_, {{1, 2}, ""}, 0);
        ASSERT_TRUE(prompts.ok());
        prompts_ = std::move(prompts).value();
    }
    void TearDown() override { EXPECT_THAT(control_.take_violations(), IsEmpty()); }

    Result<std::vector<WayFigures>> measure(const std::vector<std::string>& policies) {
        std::vector<PolicySetting> settings;
        for (const std::string& policy : policies) {
            settings.push_back(parse_policy(policy).value());
        }
        FakeEngine engine(engine_options_, control_);
        return measure_quality(engine, text_, prompts_, settings, options_,
                               [&](size_t n_done, size_t) { n_done_ = n_done; });
    }
    std::vector<WayFigures> measured(const std::vector<std::string>& policies) {
        auto ways = measure(policies);
        EXPECT_TRUE(ways.ok()) << (ways.ok() ? "" : ways.error().message);
        return std::move(ways).value();
    }

    ChattyTextModel text_;
    test::FakeEngineControl control_;
    test::FakeEngineOptions engine_options_;
    std::vector<QualityPrompt> prompts_;
    QualityOptions options_{.tokens_max = kTokensMax};
    size_t n_done_ = 0;
};

TEST_F(QualityBenchTest, DenseIsTheFirstRowAndExact) {
    const auto ways = measured({});
    ASSERT_EQ(ways.size(), 1u);
    EXPECT_TRUE(ways[0].dense());
    const Figures& dense = ways[0].all;
    EXPECT_EQ(dense.n(), 4);
    EXPECT_EQ(dense.kl_percentile(1), 0);
    EXPECT_EQ(dense.top1(), 1);
    EXPECT_EQ(dense.same_tokens(), 1);
    EXPECT_EQ(dense.same_answers(), 1);
    EXPECT_EQ(dense.rows_recomputed() + dense.rows_reused() + dense.rows_exact(), 0);
    double n_rows = 0;
    for (const QualityPrompt& prompt : prompts_)
        n_rows += static_cast<double>(prompt.tokens.size());
    EXPECT_DOUBLE_EQ(dense.rows_computed(), n_rows / 4);
    EXPECT_EQ(dense.time_share(), 1);
    EXPECT_EQ(n_done_, 4u);
}

TEST_F(QualityBenchTest, AGuardThatKnowsNothingComputesDensely) {
    const auto ways = measured({"guarded:epic:head_rows=4"});
    const Figures& guarded = ways[1].all;
    EXPECT_TRUE(ways[1].guarded);
    EXPECT_THAT(guarded.refusals(), ElementsAre(Pair("uncalibrated", 4)));
    EXPECT_EQ(guarded.top1(), 1);
    EXPECT_EQ(guarded.kl_percentile(1), 0);
    EXPECT_EQ(guarded.rows_reused(), 0);
    EXPECT_EQ(guarded.time_share(), 1);
}

TEST_F(QualityBenchTest, AGuardServesWhatItKnowsToBeGood) {
    control_.divergence = [](const PrefillPlan&) { return 0.0f; };
    options_.rungs = {{.label = "epic:head_rows=4", .samples = {}}};
    for (uint64_t i = 0; i < 300; ++i) options_.rungs[0].samples.push_back({.prompt = i});
    const auto ways = measured({"guarded:epic:head_rows=4", "epic:head_rows=4"});
    EXPECT_THAT(ways[1].all.refusals(), IsEmpty());
    EXPECT_GT(ways[1].all.rows_reused(), 0);
    EXPECT_EQ(ways[1].all.rows_reused(), ways[2].all.rows_reused());
    EXPECT_GT(ways[1].all.reused_share(), 0);
    EXPECT_LT(ways[1].all.reused_share(), 1);
}

TEST_F(QualityBenchTest, WhatIsComposedInDoubtIsComputedDensely) {
    control_.divergence = [](const PrefillPlan&) { return 0.0f; };
    options_.rungs = {{.label = "epic:head_rows=4", .samples = {}}};
    for (uint64_t i = 0; i < 1000; ++i) {
        const bool doubtful = i % 2 == 0;  // as all prompts of the fake engine are
        options_.rungs[0].samples.push_back(
            {.doubt = doubtful ? 0.9 : 0.1, .same_first = !doubtful, .prompt = i});
    }
    const auto ways = measured({"guarded:epic:head_rows=4"});
    EXPECT_THAT(ways[1].all.refusals(), ElementsAre(Pair("in_doubt", 4)));
    EXPECT_EQ(ways[1].all.top1(), 1);
    EXPECT_EQ(ways[1].all.rows_reused(), 0);
    EXPECT_GT(ways[1].all.time_share(), 1) << "it paid for both";
}

TEST_F(QualityBenchTest, FullIsDense) {
    const auto ways = measured({"full"});
    const Figures& full = ways[1].all;
    EXPECT_EQ(full.n(), 4);
    EXPECT_LE(full.kl_percentile(1), 1e-12);
    EXPECT_EQ(full.top1(), 1);
    EXPECT_EQ(full.same_tokens(), 1);
    EXPECT_EQ(full.same_answers(), 1);
    EXPECT_EQ(full.recomputed_share(), 1);
    EXPECT_EQ(full.mend_work_share(), 1);
    EXPECT_EQ(full.accuracy(), ways[0].all.accuracy());
}

TEST_F(QualityBenchTest, NoneRecomputesNothingAndDiffers) {
    const auto ways = measured({"none"});
    const Figures& none = ways[1].all;
    EXPECT_EQ(none.rows_recomputed(), 0);
    EXPECT_EQ(none.recomputed_share(), 0);
    EXPECT_EQ(none.mend_work_share(), 0);
    double n_chunk_rows = 0;
    for (const Segment& segment : prompts_[0].segments) {
        if (segment.role == SegmentRole::kChunk) n_chunk_rows += segment.span.size();
    }
    EXPECT_DOUBLE_EQ(none.rows_reused(), n_chunk_rows);
    EXPECT_GT(none.kl_mean(), 0);
    EXPECT_LT(none.same_answers(), 1);
    EXPECT_LT(none.same_tokens(), 1);
}

TEST_F(QualityBenchTest, EpicRecomputesTheHeadsOfChunksBehindTheFirst) {
    // The first chunk stands directly behind the sink prefix, where blocks are made: settled.
    const auto ways = measured({"epic:head_rows=4"});
    EXPECT_EQ(ways[1].all.rows_recomputed(), 8);
    EXPECT_DOUBLE_EQ(ways[1].all.mend_work_share(), ways[1].all.recomputed_share());
}

TEST_F(QualityBenchTest, CheckLayersCostMoreThanTheirRows) {
    const auto ways = measured({"cacheblend:layer=1,ratio=0.1"});
    const Figures& blend = ways[1].all;
    EXPECT_NEAR(blend.recomputed_share(), 0.1, 0.02);
    EXPECT_GT(blend.mend_work_share(), 0.2);  // one layer of four, of rows that are not settled
    EXPECT_LT(blend.mend_work_share(), 0.6);
}

TEST_F(QualityBenchTest, WaysComeInTheOrderGivenAndKindsInThatOfTheTasks) {
    const auto ways = measured({"full", "none"});
    ASSERT_EQ(ways.size(), 3u);
    EXPECT_EQ(ways[0].label, "dense");
    EXPECT_EQ(ways[1].label, "full");
    EXPECT_EQ(ways[2].label, "none");
    for (const WayFigures& way : ways) {
        ASSERT_EQ(way.kinds.size(), 2u);
        EXPECT_EQ(way.kinds[0].first, "single_fact");
        EXPECT_EQ(way.kinds[1].first, "two_hops");
        EXPECT_EQ(way.kinds[1].second.n(), 2);
        EXPECT_EQ(way.cross.n(), 2);
    }
}

TEST_F(QualityBenchTest, ChunksAreEncodedAndPromptsComputedDenselyOnce) {
    measured({"none", "epic:head_rows=1", "epic:head_rows=4", "full"});
    // Both tasks have the same three chunks; one prompt is computed before anything is measured.
    EXPECT_EQ(control_.n_encodes, 3);
    EXPECT_EQ(control_.n_prefills, (4 + 1) * (1 + 4));
}

TEST_F(QualityBenchTest, AnAnswerIsRightWhereTheModelSaysIt) {
    FakeEngine engine(engine_options_, control_);
    PromptRunner runner(engine, text_, kTokensMax);
    for (size_t i = 0; i < prompts_.size(); ++i) {
        const Result<PromptRun> run = runner.dense(prompts_[i]);
        ASSERT_TRUE(run.ok());
        EXPECT_LE(run->tokens.size(), static_cast<size_t>(kTokensMax));
        prompts_[i].answer = i % 2 == 0 ? run->output : "something else";
        // What the fake says may have nothing in it to compare.
        if (prompts_[i].answer.find_first_not_of(" \t\n\v\f\r.") == std::string::npos) {
            prompts_.erase(prompts_.begin() + static_cast<std::ptrdiff_t>(i--));
        }
    }
    const auto ways = measured({"full"});
    const auto n_right = std::ranges::count_if(
        prompts_, [](const QualityPrompt& prompt) { return prompt.answer != "something else"; });
    EXPECT_DOUBLE_EQ(ways[1].all.accuracy(),
                     static_cast<double>(n_right) / static_cast<double>(prompts_.size()));
}

TEST_F(QualityBenchTest, RefusesWhatTheModelCanNotDo) {
    engine_options_.support = ReuseSupport::kSpans;
    EXPECT_TRUE(measure({"epic:head_rows=4"}).ok());
    const auto staged = measure({"cacheblend"});
    ASSERT_FALSE(staged.ok());
    EXPECT_EQ(staged.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(staged.error().message, HasSubstr("cacheblend"));

    engine_options_.support = ReuseSupport::kFused;
    const auto deep = measure({"cacheblend:layer=4,ratio=0.1"});
    ASSERT_FALSE(deep.ok());
    EXPECT_EQ(deep.error().code, ErrorCode::kInvalidArgument);

    engine_options_.support = ReuseSupport::kExactOnly;
    const auto exact = measure({"none"});
    ASSERT_FALSE(exact.ok());
    EXPECT_THAT(exact.error().message, HasSubstr("exact prefixes only"));
}

TEST_F(QualityBenchTest, FailuresNameTheTaskAndTheWay) {
    control_.before_encode = [this] { control_.encodes_to_fail = 1; };
    const auto ways = measure({"none"});
    ASSERT_FALSE(ways.ok());
    EXPECT_THAT(ways.error().message, HasSubstr("line 1, none: "));
}

}  // namespace
}  // namespace spolia
