#include "reuse/layer_calibration.h"

#include <gtest/gtest.h>

#include <random>

#include "reuse/half_float.h"

namespace spolia {
namespace {

TEST(LayerCalibration, DeviationsAreThoseOfEachRow) {
    BlockMeta meta;
    meta.layout = {2, 2, 3};
    meta.tokens = {1, 2};
    KvBlock old(meta), fresh(meta);
    const auto fill = [](std::span<uint16_t> to, std::vector<float> values) {
        for (size_t i = 0; i < to.size(); ++i) to[i] = float_to_half(values[i]);
    };
    fill(old.k(1), {1, 0, 2, 0});
    fill(fresh.k(1), {1, 1, 2, 0});
    fill(old.v(1), {1, 1, 1, 0, 0, 2});
    fill(fresh.v(1), {1, 1, 1, 2, 0, 2});
    EXPECT_EQ(row_deviations(fresh, old, 1, Deviation::kKeys), (std::vector<float>{1, 0}));
    EXPECT_EQ(row_deviations(fresh, old, 1, Deviation::kValues), (std::vector<float>{0, 1}));
    EXPECT_EQ(row_deviations(fresh, old, 1, Deviation::kBoth), (std::vector<float>{1, 1}));
}

TEST(LayerCalibration, AreaUnderCurveKnowsOrderChanceAndTies) {
    const std::vector<bool> positive = {false, true, false, true};
    EXPECT_EQ(area_under_curve(std::vector<float>{1, 3, 2, 4}, positive), 1);
    EXPECT_EQ(area_under_curve(std::vector<float>{4, 2, 3, 1}, positive), 0);
    EXPECT_EQ(area_under_curve(std::vector<float>{5, 5, 5, 5}, positive), 0.5);
    EXPECT_EQ(area_under_curve(std::vector<float>{1, 2, 3, 4}, positive), 0.75);
}

TEST(LayerCalibration, AreaUnderCurveAgreesWithCountingPairs) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        std::vector<float> scores;
        std::vector<bool> positive = {true, false};
        while (positive.size() < 2 + round % 30u) positive.push_back(random() % 3 == 0);
        for (size_t i = 0; i < positive.size(); ++i) scores.push_back(float(random() % 6));
        double above = 0, pairs = 0;
        for (size_t i = 0; i < scores.size(); ++i) {
            for (size_t j = 0; j < scores.size(); ++j) {
                if (!positive[i] || positive[j]) continue;
                ++pairs;
                above += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
            }
        }
        ASSERT_NEAR(area_under_curve(scores, positive), above / pairs, 1e-12);
    }
}

TEST(LayerCalibration, RankCorrelationIsBlindToScale) {
    const std::vector<float> a = {1, 2, 3, 4};
    EXPECT_DOUBLE_EQ(rank_correlation(a, std::vector<float>{1, 10, 100, 1000}), 1);
    EXPECT_DOUBLE_EQ(rank_correlation(a, std::vector<float>{9, 5, 2, -1}), -1);
    EXPECT_DOUBLE_EQ(rank_correlation(a, std::vector<float>{2, 1, 4, 3}), 0.6);
    EXPECT_DOUBLE_EQ(rank_correlation(a, std::vector<float>{7, 7, 7, 7}), 0);
}

TEST(LayerCalibration, AveragesPromptsAndPassesOverThoseThatSayNothing) {
    LayerCalibration calibration(3);
    EXPECT_TRUE(calibration.scores().empty());
    const std::vector<float> up = {1, 2, 3, 4}, down = {4, 3, 2, 1};
    calibration.add({up, up, up});
    calibration.add({up, down, up});
    calibration.add({up, up, {5, 5, 5, 5}});
    calibration.add({{1}, {1}, {1}});
    calibration.add({up, up, {1, 2, 3, INFINITY}});
    EXPECT_EQ(calibration.n_prompts(), 2);
    EXPECT_EQ(calibration.n_rows(), 8);
    const auto scores = calibration.scores();
    ASSERT_EQ(scores.size(), 2u);
    EXPECT_EQ(scores[0].layer, 1);
    EXPECT_DOUBLE_EQ(scores[0].auc, 0.5);
    EXPECT_DOUBLE_EQ(scores[0].correlation, 0);
    EXPECT_DOUBLE_EQ(scores[1].auc, 1);
}

std::optional<int32_t> cheapest(const std::vector<double>& auc) {
    std::vector<LayerScore> scores;
    for (const double value : auc) {
        scores.push_back({static_cast<int32_t>(scores.size()) + 1, value, 0});
    }
    return cheapest_good_layer(scores);
}

TEST(LayerCalibration, TakesTheFirstLayerThatIsNearlyAsGoodAsTheBestOfTheFirstHalf) {
    EXPECT_EQ(cheapest({0.5, 0.87, 0.9, 0.85, 0.95, 0.99, 1}), 2);
    EXPECT_EQ(cheapest({0.87, 0.86, 0.9, 0.85, 0.95, 0.99, 1}), 1);
    EXPECT_EQ(cheapest({0.5, 0.6, 0.7, 0.8, 0.95, 0.99, 1}), 4);
    EXPECT_EQ(cheapest({1}), 1);
    EXPECT_EQ(cheapest({0.6, 1}), 1) << "the second of three layers is beyond the first half";
}

TEST(LayerCalibration, CountsFromChance) {
    EXPECT_EQ(cheapest({0.59, 0.62, 0.62, 0.62, 1, 1, 1}), 2) << "0.59 is within 5 % of 0.62";
    EXPECT_EQ(cheapest({0.5, 0.51, 0.5, 0.52, 0.9, 0.9, 0.9}), std::nullopt);
    EXPECT_EQ(cheapest({0.3, 0.2}), std::nullopt);
}

}  // namespace
}  // namespace spolia
