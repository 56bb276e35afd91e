#include "broker/guard/ladder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace spolia {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> labels(const SelectorParams& params) {
    std::vector<std::string> labels;
    for (const LadderStep& step : make_ladder(params)) labels.push_back(step.label);
    return labels;
}

using Labels = std::vector<std::string>;

std::vector<double> ratios(const SelectorParams& params) {
    std::vector<double> ratios;
    for (const LadderStep& step : make_ladder(params)) {
        ratios.push_back(step.params.stages.front().ratio);
    }
    return ratios;
}

TEST(Ladder, RaisesWhatThereIsToRaise) {
    EXPECT_EQ(labels({.policy = "epic", .head_rows = 16}),
              (Labels{"epic:head_rows=16", "epic:head_rows=16 x2", "epic:head_rows=16 x4"}));
    EXPECT_EQ(make_ladder({.policy = "epic", .head_rows = 16}).back().params.head_rows, 64);
    EXPECT_EQ(labels({.policy = "cacheblend", .stages = {{1, 0.3}, {3, 0.1}}}).back(),
              "cacheblend:ratio=0.3/0.1,layer=1/3 x4");
    EXPECT_THAT(ratios({.policy = "cacheblend", .stages = {{1, 0.15}}}),
                ElementsAre(0.15, 0.3, 0.6));
    EXPECT_THAT(ratios({.policy = "query", .stages = {{2, 0.5}}}), ElementsAre(0.5, 1));
    EXPECT_EQ(make_ladder({.policy = "trace", .trace_ratio = 0.1}).back().params.trace_ratio, 0.4);
    EXPECT_EQ(labels({.policy = "none"}), Labels{"none"});
    EXPECT_EQ(labels({.policy = "full"}), Labels{"full"});
}

TEST(Ladder, AdaptiveEndsWithACheckOfAllRowsWhereItHasACheckLayer) {
    const SelectorParams params{.policy = "adaptive",
                                .stages = {{3, 0.15}},
                                .weight_min = 0.4,
                                .check_layer = 3,
                                .deviation_min = 0.4};
    const std::string first = "adaptive:weight_min=0.4,layer=3,deviation_min=0.4";
    EXPECT_EQ(labels(params), (Labels{first, first + " > cacheblend:ratio=0.15,layer=3"}));
    SelectorParams unchecked = params;
    unchecked.check_layer = 0;
    EXPECT_EQ(labels(unchecked).size(), 3u);
}

TEST(Ladder, EndsWhereThereIsNoMore) {
    EXPECT_EQ(labels({.policy = "epic", .head_rows = 100}),
              (Labels{"epic:head_rows=100", "epic:head_rows=100 x2"}));
    EXPECT_EQ(labels({.policy = "epic", .head_rows = 500}), Labels{"epic:head_rows=500"});
    EXPECT_EQ(labels({.policy = "cacheblend", .stages = {{1, 0.4}}}),
              (Labels{"cacheblend:ratio=0.4,layer=1", "cacheblend:ratio=0.4,layer=1 x2",
                      "cacheblend:ratio=0.4,layer=1 x4"}));
    EXPECT_EQ(labels({.policy = "cacheblend", .stages = {{1, 1}}}),
              Labels{"cacheblend:ratio=1,layer=1"});
}

TEST(Ladder, EveryRungIsASelector) {
    for (const std::string_view policy : selector_names()) {
        for (const LadderStep& step : make_ladder({.policy = std::string(policy)})) {
            const auto selector = make_selector(step.params, 24);
            ASSERT_TRUE(selector) << step.label;
            EXPECT_EQ((*selector)->name(), policy);
        }
    }
}

TEST(Ladder, SettingsThatDifferHaveLabelsThatDiffer) {
    SelectorParams params;
    const std::string label = labels(params).front();
    params.deviation = Deviation::kKeys;
    EXPECT_NE(labels(params).front(), label);
    params = {};
    params.stages[0].layer = 2;
    EXPECT_NE(labels(params).front(), label);
    params = {};
    params.head_rows = 5;
    EXPECT_EQ(labels(params).front(), label) << "cacheblend has no head rows";
}

}  // namespace
}  // namespace spolia
