#include "broker/core/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>

namespace spolia {
namespace {

// A machine whose prefills take fixed + a * rows + b * row_context.
struct Machine {
    double fixed_ms = 20;
    double row_ms = 4;
    double row_context_ms = 0.002;

    double ms(const Work& work) const {
        return fixed_ms + row_ms * work.rows + row_context_ms * work.row_context;
    }
};

PrefillCost dense(int32_t begin, int32_t end) { return {.work = dense_work({begin, end})}; }

TEST(DenseWork, AddsUpTheContextOfEachRow) {
    const Work work = dense_work({3, 7});
    EXPECT_EQ(work.rows, 4);
    EXPECT_EQ(work.row_context, 4 + 5 + 6 + 7);
    EXPECT_EQ(dense_work({5, 5}).rows, 0);
}

TEST(MendShare, FollowsTheSelector) {
    EXPECT_EQ(mend_share({.policy = "none"}, 24, 100, 0), 0);
    EXPECT_EQ(mend_share({.policy = "full"}, 24, 100, 0), 1);
    EXPECT_DOUBLE_EQ(mend_share({.policy = "epic", .head_rows = 16}, 24, 64, 0), 0.25);
    EXPECT_EQ(mend_share({.policy = "epic", .head_rows = 16}, 24, 8, 0), 1);
    const double share = mend_share({.policy = "cacheblend", .stages = {{1, 0.15}}}, 24, 100, 0);
    // One full layer, 15 % of the 23 others, and Q, K, V of the rows dropped at the check.
    EXPECT_NEAR(share, (1 + 0.15 * 23 + 0.85 * 0.2) / 24, 1e-9);
    EXPECT_LT(mend_share({.stages = {{1, 0.3}, {2, 0.1}}}, 24, 100, 0), share);
    EXPECT_EQ(mend_share({.policy = "query", .stages = {{1, 0.15}}}, 24, 100, 0), share);
    EXPECT_EQ(mend_share({.policy = "query", .rank = QueryRank::kAttention}, 24, 100, 0), 0.15);
}

TEST(MendShare, OfAdaptiveIsThatOfTheRowsItPicks) {
    SelectorParams params{.policy = "adaptive", .check_layer = 0};
    EXPECT_EQ(mend_share(params, 24, 100, 0), 0);
    EXPECT_DOUBLE_EQ(mend_share(params, 24, 100, 30), 0.3);
    params.check_layer = 6;
    EXPECT_EQ(mend_share(params, 24, 100, 0), 0);
    EXPECT_GT(mend_share(params, 24, 100, 30), 0.3 * 6 / 24);
    EXPECT_LT(mend_share(params, 24, 100, 30), 0.3);
}

TEST(CostModel, PredictsNothingBeforeItHasMeasured) {
    CostModel costs;
    EXPECT_FALSE(costs.measured());
    EXPECT_EQ(costs.predict_ms(dense(0, 100)), 0);
}

TEST(CostModel, OneSampleScalesWithRows) {
    CostModel costs;
    costs.observe(dense(0, 100), 500, 0);
    EXPECT_TRUE(costs.measured());
    EXPECT_NEAR(costs.predict_ms(dense(0, 100)), 500, 1e-3);
    EXPECT_NEAR(costs.predict_ms(dense(0, 200)), 1000, 1e-3);
}

TEST(CostModel, LearnsAMachineFromNoisySamples) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> noise(0.95, 1.05);
    const Machine machine;
    CostModel costs;
    for (int i = 0; i < 120; ++i) {
        const auto begin = static_cast<int32_t>(random() % 2 * (random() % 3000));
        const auto rows = static_cast<int32_t>(1 + random() % (i % 2 == 0 ? 64 : 3000));
        const PrefillCost cost = dense(begin, begin + rows);
        costs.observe(cost, machine.ms(cost.work) * noise(random), 0);
    }
    for (const int32_t rows : {8, 64, 500, 3000}) {
        const PrefillCost cost = dense(0, rows);
        EXPECT_NEAR(costs.predict_ms(cost) / machine.ms(cost.work), 1, 0.15) << rows;
    }
}

TEST(CostModel, FollowsAMachineThatSlowsDown) {
    CostModel costs;
    for (int i = 0; i < 30; ++i) costs.observe(dense(0, 100 + i), 100.0 + i, 0);
    for (int i = 0; i < 150; ++i) costs.observe(dense(0, 100 + i), 3 * (100.0 + i), 0);
    EXPECT_NEAR(costs.predict_ms(dense(0, 150)), 450, 45);
}

TEST(CostModel, IsNotTurnedOverByOneHiccup) {
    CostModel costs;
    for (int i = 0; i < 30; ++i) costs.observe(dense(0, 100 + i), 100.0 + i, 0);
    costs.observe(dense(0, 100), 10'000, 0);
    EXPECT_NEAR(costs.predict_ms(dense(0, 100)), 100, 10);
}

TEST(CostModel, NeverPredictsThatMoreWorkTakesLess) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 200; ++round) {
        CostModel costs;
        for (uint64_t n = 1 + random() % 20; n > 0; --n) {
            const auto begin = static_cast<int32_t>(random() % 1000);
            costs.observe(dense(begin, begin + 1 + static_cast<int32_t>(random() % 1000)),
                          1 + static_cast<double>(random() % 10'000), 0);
        }
        double last = 0;
        for (int32_t rows = 1; rows < 2000; rows += 100) {
            const double ms = costs.predict_ms(dense(0, rows));
            ASSERT_TRUE(std::isfinite(ms));
            ASSERT_GE(ms, last);
            last = ms;
        }
    }
}

TEST(CostModel, CountsPlacementAndLoading) {
    CostModel costs;
    costs.observe(dense(0, 100), 1000, 0);
    PrefillCost reuse{.work = dense_work({90, 100}), .rows_placed = 90};
    const double before = costs.predict_ms(reuse);
    costs.observe(reuse, before, 45);
    EXPECT_NEAR(costs.predict_ms(reuse) - before, 45, 1);
    reuse.rows_loaded = 100;
    const double in_ram = costs.predict_ms(reuse);
    costs.observe_load(100, 30);
    EXPECT_NEAR(costs.predict_ms(reuse) - in_ram, 30, 1e-6);
}

TEST(CostModel, LearnsThatComposingIsSlowerAndForgivesIt) {
    CostModel costs;
    for (int i = 0; i < 10; ++i) costs.observe(dense(0, 1000), 1000, 0);
    const PrefillCost composed{
        .work = {.rows = 500, .row_context = 300'000}, .rows_placed = 500, .composed = true};
    EXPECT_LT(costs.predict_ms(composed), 1000);
    for (int i = 0; i < 20; ++i) costs.observe(composed, 2000, 1);
    EXPECT_GT(costs.predict_ms(composed), 1000);
    EXPECT_NEAR(costs.predict_ms(dense(0, 1000)), 1000, 1) << "dense is another way";
    for (int i = 0; i < 200; ++i) costs.forgive();
    EXPECT_LT(costs.predict_ms(composed), 1000);
}

}  // namespace
}  // namespace spolia
