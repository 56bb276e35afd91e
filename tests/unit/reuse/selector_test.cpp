#include "reuse/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

namespace spolia {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int32_t kLayers = 24;

std::unique_ptr<Selector> make(const SelectorParams& params) {
    auto selector = make_selector(params, kLayers);
    EXPECT_TRUE(selector.ok());
    return std::move(selector).value();
}

std::unique_ptr<Selector> make_cacheblend(std::vector<CheckStage> stages) {
    return make({.policy = "cacheblend", .stages = std::move(stages)});
}

std::string failure(const SelectorParams& params, int32_t n_layer = kLayers) {
    const auto selector = make_selector(params, n_layer);
    if (selector.ok()) {
        return "no failure";
    }
    EXPECT_EQ(selector.error().code, ErrorCode::kInvalidArgument);
    return selector.error().message;
}

const std::vector<PassiveSpan> kSpans = {
    {.rows = {4, 7}, .settled = true}, {.rows = {10, 15}}, {.rows = {20, 22}}};

TEST(Selector, NoneChoosesNothing) {
    const auto selector = make({.policy = "none"});
    EXPECT_THAT(selector->pick({kSpans}).rows, IsEmpty());
    EXPECT_THAT(selector->stages(), IsEmpty());
}

TEST(Selector, FullChoosesSettledRowsToo) {
    EXPECT_THAT(make({.policy = "full"})->pick({kSpans}).rows,
                ElementsAre(4, 5, 6, 10, 11, 12, 13, 14, 20, 21));
}

TEST(Selector, EpicChoosesTheHeadsOfUnsettledChunks) {
    EXPECT_THAT(make({.policy = "epic", .head_rows = 3})->pick({kSpans}).rows,
                ElementsAre(10, 11, 12, 20, 21));
    EXPECT_THAT(make({.policy = "epic", .head_rows = 1024})->pick({kSpans}).rows,
                ElementsAre(10, 11, 12, 13, 14, 20, 21));
    EXPECT_THAT(make({.policy = "epic", .head_rows = 1})->pick(Selection{}).rows, IsEmpty());
}

TEST(Selector, CacheBlendKeepsTheRowsThatDeviateMost) {
    const auto selector = make_cacheblend({{1, 0.5}, {4, 0.25}});
    ASSERT_EQ(selector->stages().size(), 2u);
    const std::vector<int32_t> rows = {3, 5, 6, 9, 11, 12, 20, 31};
    const std::vector<float> deviation = {0.1f, 0.9f, 0.2f, 0.8f, 0.2f, 0.0f, 0.2f, 0.7f};
    EXPECT_THAT(selector->choose(0, {rows, deviation, {}, 8}), ElementsAre(5, 6, 9, 31));
    EXPECT_THAT(selector->choose(1, {rows, deviation, {}, 8}), ElementsAre(5, 9));
}

TEST(Selector, CacheBlendRoundsUpAndStopsAtWhatIsThere) {
    const auto selector = make_cacheblend({{1, 0.07}});
    std::vector<int32_t> rows(100);
    for (int32_t i = 0; i < 100; ++i) {
        rows[static_cast<size_t>(i)] = i;
    }
    const std::vector<float> deviation(100, 1.0f);
    EXPECT_EQ(selector->choose(0, {rows, deviation, {}, 100}).size(), 7u);
    EXPECT_EQ(selector->choose(0, {rows, deviation, {}, 101}).size(), 8u);
    EXPECT_EQ(selector->choose(0, {rows, deviation, {}, 10000}), rows);
    EXPECT_THAT(selector->choose(0, {{}, {}, {}, 10}), IsEmpty());
}

TEST(Selector, CacheBlendMendsRowsThatAreNotNumbersFirst) {
    const auto selector = make_cacheblend({{1, 0.5}});
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<int32_t> rows = {1, 2, 3, 4};
    const std::vector<float> deviation = {5.0f, nan, 1e30f, nan};
    EXPECT_THAT(selector->choose(0, {rows, deviation, {}, 4}), ElementsAre(2, 4));
}

std::vector<int32_t> choose_naively(std::vector<int32_t> rows, const std::vector<float>& deviation,
                                    size_t n_keep) {
    std::set<int32_t> kept;
    std::vector<bool> taken(rows.size());
    while (kept.size() < std::min(n_keep, rows.size())) {
        size_t best = rows.size();
        for (size_t i = 0; i < rows.size(); ++i) {
            if (!taken[i] && (best == rows.size() || deviation[i] > deviation[best])) {
                best = i;
            }
        }
        taken[best] = true;
        kept.insert(rows[best]);
    }
    return {kept.begin(), kept.end()};
}

TEST(Selector, CacheBlendAgreesWithTheNaiveChoice) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 500; ++round) {
        const double ratio = static_cast<double>(1 + random() % 64) / 64;
        const auto selector = make_cacheblend({{1, ratio}});
        std::vector<int32_t> rows;
        std::vector<float> deviation;
        const size_t n = random() % 60;
        for (int32_t row = 0; rows.size() < n; row += 1 + static_cast<int32_t>(random() % 3)) {
            rows.push_back(row);
            deviation.push_back(static_cast<float>(random() % 8));  // many ties
        }
        const auto n_passive = static_cast<int32_t>(n + random() % 20);
        const auto n_keep = static_cast<size_t>(std::ceil(ratio * n_passive));
        ASSERT_EQ(selector->choose(0, {rows, deviation, {}, n_passive}),
                  choose_naively(rows, deviation, n_keep));
    }
}

std::unique_ptr<Selector> make_query(double ratio, QueryRank rank) {
    return make({.policy = "query", .stages = {{2, ratio}}, .rank = rank});
}

TEST(Selector, QueryRanksByAttentionTimesDeviation) {
    const auto selector = make_query(0.5, QueryRank::kAttentionDeviation);
    EXPECT_TRUE(selector->wants_attention());
    EXPECT_TRUE(selector->needs_fused_pass());
    ASSERT_EQ(selector->stages().size(), 1u);
    EXPECT_EQ(selector->stages()[0].layer, 2);
    const std::vector<int32_t> rows = {3, 5, 6, 9};
    const std::vector<float> deviation = {0.9f, 0.1f, 0.5f, 0.0f};
    const std::vector<float> attention = {0.1f, 0.2f, 0.3f, 9.0f};
    EXPECT_THAT(selector->choose(0, {rows, deviation, attention, 4}), ElementsAre(3, 6));
    EXPECT_THAT(selector->pick({kSpans}).rows, ElementsAre(10, 11, 12, 13, 14, 20, 21));
}

TEST(Selector, QueryByAttentionAlonePicksUnsettledRowsWithoutAStage) {
    const auto selector = make_query(0.3, QueryRank::kAttention);
    EXPECT_TRUE(selector->wants_attention());
    EXPECT_TRUE(selector->needs_fused_pass());
    EXPECT_THAT(selector->stages(), IsEmpty());
    std::vector<float> attention(22, 0.1f);
    attention[5] = 9;  // settled
    attention[8] = 9;  // in no block
    attention[12] = 2;
    attention[14] = 1;
    attention[21] = 3;
    EXPECT_THAT(selector->pick({kSpans, nullptr, attention}).rows, ElementsAre(12, 14, 21));
    EXPECT_THAT(selector->pick(Selection{}).rows, IsEmpty());
}

TEST(Selector, OnlyTheQueryWantsAttention) {
    for (const std::string_view name : selector_names()) {
        const auto selector = make({.policy = std::string(name)});
        EXPECT_EQ(selector->wants_attention(), name == "query") << name;
    }
}

TEST(Selector, AHigherRatioKeepsTheSameRowsAndMore) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    std::vector<int32_t> rows;
    std::vector<float> deviation, attention;
    for (int32_t row = 0; row < 200; ++row) {
        rows.push_back(row);
        deviation.push_back(static_cast<float>(random() % 8));
        attention.push_back(static_cast<float>(random() % 4));
    }
    for (const char* policy : {"cacheblend", "query"}) {
        std::vector<int32_t> fewer;
        for (const double ratio : {0.01, 0.1, 0.15, 0.5, 0.99, 1.0}) {
            const auto selector = make({.policy = policy, .stages = {{1, ratio}}});
            const auto more = selector->choose(0, {rows, deviation, attention, 200});
            EXPECT_TRUE(std::ranges::includes(more, fewer)) << policy << ", " << ratio;
            fewer = more;
        }
        EXPECT_EQ(fewer, rows);
    }
}

TEST(Selector, EveryNameMakesASelectorOfThatName) {
    for (const std::string_view name : selector_names()) {
        EXPECT_EQ(make({.policy = std::string(name)})->name(), name);
    }
}

TEST(Selector, HandsTheDeviationOn) {
    EXPECT_EQ(make({.policy = "cacheblend", .deviation = Deviation::kValues})->deviation(),
              Deviation::kValues);
}

TEST(Selector, RefusesWhatMakesNoSense) {
    const auto stages = [](std::vector<CheckStage> list) {
        return failure({.policy = "cacheblend", .stages = std::move(list)});
    };
    EXPECT_THAT(failure({.policy = "magic"}), HasSubstr("none, full, epic, cacheblend, query"));
    EXPECT_THAT(failure({.policy = "epic", .head_rows = 0}), HasSubstr("1 to 1024"));
    EXPECT_THAT(failure({.policy = "epic", .head_rows = 1025}), HasSubstr("1025"));
    EXPECT_THAT(stages({}), HasSubstr("at least one"));
    EXPECT_THAT(stages({{0, 0.2}}), HasSubstr("1 to 23"));
    EXPECT_THAT(stages({{24, 0.2}}), HasSubstr("layer 24"));
    EXPECT_THAT(stages({{1, 0.0}}), HasSubstr("above 0"));
    EXPECT_THAT(stages({{1, 1.01}}), HasSubstr("at most 1"));
    EXPECT_THAT(stages({{1, std::nan("")}}), HasSubstr("at most 1"));
    EXPECT_THAT(stages({{1, 0.3}, {1, 0.2}}), HasSubstr("stage 1"));
    EXPECT_THAT(stages({{2, 0.3}, {1, 0.2}}), HasSubstr("layer order"));
    EXPECT_THAT(stages({{1, 0.2}, {2, 0.3}}), HasSubstr("stay dropped"));
    EXPECT_EQ(stages({{1, 1.0}, {2, 1.0}, {23, 0.1}}), "no failure");
    EXPECT_THAT(failure({.policy = "query", .stages = {{1, 0.3}, {2, 0.1}}}), HasSubstr("one"));
    EXPECT_THAT(failure({.policy = "query", .stages = {{24, 0.3}}}),
                HasSubstr("selector query, stage 0: layer 24"));
    EXPECT_EQ(failure({.policy = "query", .stages = {{1, 0.3}}, .rank = QueryRank::kAttention}, 1),
              "no failure");
}

}  // namespace
}  // namespace spolia
