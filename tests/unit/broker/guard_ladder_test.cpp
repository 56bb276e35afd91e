#include "broker/guard/ladder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace spolia {
namespace {

std::vector<std::string> labels(const SelectorParams& params) {
    std::vector<std::string> labels;
    for (const LadderStep& step : make_ladder(params)) labels.push_back(step.label);
    return labels;
}

using Labels = std::vector<std::string>;

TEST(Ladder, RaisesWhatThereIsToRaise) {
    EXPECT_EQ(labels({.policy = "epic", .head_rows = 16}),
              (Labels{"epic:head_rows=16", "epic:head_rows=32", "epic:head_rows=64"}));
    EXPECT_EQ(labels({.policy = "cacheblend", .stages = {{1, 0.15}}}),
              (Labels{"cacheblend:ratio=0.15,layer=1", "cacheblend:ratio=0.3,layer=1",
                      "cacheblend:ratio=0.6,layer=1"}));
    EXPECT_EQ(labels({.policy = "cacheblend", .stages = {{1, 0.3}, {3, 0.1}}}).back(),
              "cacheblend:ratio=1/0.4,layer=1/3");
    EXPECT_EQ(labels({.policy = "query", .stages = {{2, 0.5}}}),
              (Labels{"query:ratio=0.5,layer=2", "query:ratio=1,layer=2"}));
    EXPECT_EQ(labels({.policy = "trace", .trace_ratio = 0.1}),
              (Labels{"trace:ratio=0.1", "trace:ratio=0.2", "trace:ratio=0.4"}));
    EXPECT_EQ(labels({.policy = "none"}), Labels{"none"});
    EXPECT_EQ(labels({.policy = "full"}), Labels{"full"});
}

TEST(Ladder, AdaptiveEndsWithACheckOfAllRowsWhereItHasACheckLayer) {
    const SelectorParams params{.policy = "adaptive",
                                .stages = {{3, 0.15}},
                                .weight_min = 0.4,
                                .check_layer = 3,
                                .deviation_min = 0.4};
    EXPECT_EQ(labels(params), (Labels{"adaptive:weight_min=0.4,layer=3,deviation_min=0.4",
                                      "adaptive:weight_min=0.2,layer=3,deviation_min=0.2",
                                      "adaptive:weight_min=0.1,layer=3,deviation_min=0.1",
                                      "cacheblend:ratio=0.15,layer=3"}));
    SelectorParams unchecked = params;
    unchecked.check_layer = 0;
    EXPECT_EQ(labels(unchecked).size(), 3u);
}

TEST(Ladder, EndsWhereThereIsNoMore) {
    EXPECT_EQ(labels({.policy = "epic", .head_rows = 100}),
              (Labels{"epic:head_rows=100", "epic:head_rows=128"}));
    EXPECT_EQ(labels({.policy = "epic", .head_rows = 500}), Labels{"epic:head_rows=500"});
    EXPECT_EQ(labels({.policy = "cacheblend", .stages = {{1, 0.4}}}),
              (Labels{"cacheblend:ratio=0.4,layer=1", "cacheblend:ratio=0.8,layer=1",
                      "cacheblend:ratio=1,layer=1"}));
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
