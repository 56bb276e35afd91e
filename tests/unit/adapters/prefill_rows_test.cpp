#include "adapters/llama/prefill_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace spolia {
namespace {

constexpr KvLayout kLayout{1, 4, 4};
constexpr int32_t kContext = 200;

std::unique_ptr<KvBlock> block_of(int32_t n_rows, int32_t frame_row = 0,
                                  KvLayout layout = kLayout) {
    BlockMeta meta;
    meta.layout = layout;
    meta.frame_row = frame_row;
    meta.tokens.resize(static_cast<size_t>(n_rows));
    return std::make_unique<KvBlock>(std::move(meta));
}

// A plan with all that it points at.
struct OwnedPlan {
    explicit OwnedPlan(int32_t n_rows) : tokens(static_cast<size_t>(n_rows), 7) {}

    PlacedBlock& add(int32_t row, int32_t n_rows, int32_t block_rows = 0, int32_t source_row = 0) {
        blocks.push_back(block_of(std::max(block_rows, source_row + n_rows)));
        return placed.emplace_back(PlacedBlock{row, source_row, n_rows, blocks.back().get()});
    }
    PlacedBlock& add_page(int32_t row, int32_t n_rows) {
        blocks.push_back(block_of(n_rows, row));
        return placed.emplace_back(PlacedBlock{row, 0, n_rows, blocks.back().get(), true});
    }
    PrefillPlan plan() const { return {.tokens = tokens, .n_keep = n_keep, .blocks = placed}; }
    Result<PrefillRows> rows() const { return prefill_rows(plan(), kContext, kLayout); }

    std::vector<Token> tokens;
    int32_t n_keep = 0;
    std::vector<std::unique_ptr<KvBlock>> blocks;
    std::vector<PlacedBlock> placed;
};

enum class Source { kFixed, kFresh, kMendable, kSettled };

// What each row is, row by row.
std::vector<Source> naive_sources(const OwnedPlan& owned) {
    const auto n_rows = static_cast<int32_t>(owned.tokens.size());
    std::vector<Source> sources(owned.tokens.size(), Source::kFresh);
    for (int32_t row = 0; row < n_rows - 1; ++row) {
        Source& source = sources[static_cast<size_t>(row)];
        if (row < owned.n_keep) source = Source::kFixed;
        for (const PlacedBlock& placed : owned.placed) {
            if (row < placed.row || row >= placed.row + placed.n_rows) continue;
            source = placed.exact     ? Source::kFixed
                     : placed.settled ? Source::kSettled
                                      : Source::kMendable;
        }
    }
    return sources;
}

OwnedPlan random_plan(std::mt19937& generator) {
    const auto below = [&](int32_t n) { return static_cast<int32_t>(generator() % n); };
    OwnedPlan owned(1 + below(40));
    const auto n_rows = static_cast<int32_t>(owned.tokens.size());
    owned.n_keep = generator() % 2 ? below(n_rows) : 0;
    int32_t at = owned.n_keep;
    for (int pages = below(3); pages > 0 && at < n_rows; --pages) {
        const int32_t n = 1 + below(std::min(8, n_rows - at));
        owned.add_page(at, n);
        at += n;
    }
    while (at < n_rows && generator() % 5 != 0) {
        if (generator() % 2) at += below(5);
        if (at >= n_rows) break;
        const int32_t n = 1 + below(std::min(9, n_rows - at));
        owned.add(at, n, 0, below(3)).settled = generator() % 4 == 0;
        at += n;
    }
    return owned;
}

TEST(PrefillRows, EqualsANaiveReferenceOnRandomPlans) {
    std::mt19937 generator(30);
    for (int round = 0; round < 3000; ++round) {
        SCOPED_TRACE("seed 30, round " + std::to_string(round));
        const OwnedPlan owned = random_plan(generator);
        const Result<PrefillRows> rows = owned.rows();
        ASSERT_TRUE(rows.ok()) << rows.error().message;

        std::map<Source, std::vector<int32_t>> expected;
        const std::vector<Source> sources = naive_sources(owned);
        for (size_t row = 0; row < sources.size(); ++row) {
            expected[sources[row]].push_back(static_cast<int32_t>(row));
        }
        EXPECT_EQ(rows->n_rows, static_cast<int32_t>(sources.size()));
        EXPECT_EQ(rows->n_fixed, static_cast<int32_t>(expected[Source::kFixed].size()));
        EXPECT_EQ(rows->fresh, expected[Source::kFresh]);
        EXPECT_EQ(rows->mendable, expected[Source::kMendable]);
        EXPECT_EQ(rows->n_covered, static_cast<int32_t>(expected[Source::kMendable].size() +
                                                        expected[Source::kSettled].size()));
        EXPECT_EQ(rows->composed(), rows->n_covered > 0);
        std::vector<int32_t> settled;
        for (const PassiveSpan& span : rows->passive) {
            EXPECT_LT(span.rows.begin, span.rows.end);
            for (int32_t row = span.rows.begin; row < span.rows.end && span.settled; ++row) {
                settled.push_back(row);
            }
        }
        EXPECT_EQ(settled, expected[Source::kSettled]);

        // Half of the mendable rows blended: the counts are those of all rows.
        std::vector<int32_t> blended(
            rows->mendable.begin(),
            rows->mendable.begin() + static_cast<std::ptrdiff_t>(rows->mendable.size() / 2));
        PrefillReport report;
        count_rows(*rows, blended, report);
        EXPECT_EQ(report.blended_rows, blended);
        EXPECT_EQ(report.n_blended, static_cast<int32_t>(blended.size()));
        EXPECT_EQ(report.n_exact + report.n_shifted + report.n_blended + report.n_computed,
                  rows->n_rows);
    }
}

TEST(PrefillRows, OneRowBlockOnTheLastRowLeavesTheRestFresh) {
    OwnedPlan owned(5);
    owned.add(4, 1);
    const Result<PrefillRows> rows = owned.rows();
    ASSERT_TRUE(rows.ok());
    EXPECT_EQ(rows->fresh, (std::vector<int32_t>{0, 1, 2, 3, 4}));
    EXPECT_FALSE(rows->composed());
}

void expect_broken(const OwnedPlan& owned, ErrorCode code = ErrorCode::kInvalidArgument) {
    const Result<PrefillRows> rows = owned.rows();
    ASSERT_FALSE(rows.ok());
    EXPECT_EQ(rows.error().code, code);
    EXPECT_FALSE(rows.error().message.empty());
}

TEST(PrefillRows, RefusesPromptsThatDontFit) {
    expect_broken(OwnedPlan(0));
    expect_broken(OwnedPlan(kContext + 1), ErrorCode::kContextTooLong);
    EXPECT_TRUE(OwnedPlan(kContext).rows().ok());
}

TEST(PrefillRows, RefusesKeepingTheWholePromptOrLess) {
    for (const int32_t n_keep : {-1, 10, 11}) {
        OwnedPlan owned(10);
        owned.n_keep = n_keep;
        expect_broken(owned);
    }
}

TEST(PrefillRows, RefusesBlocksThatOverlapOrStandOutside) {
    const std::vector<std::pair<int32_t, int32_t>> kept_overlap = {{1, 3}},
                                                   twice = {{2, 4}, {5, 2}},
                                                   descending = {{5, 2}, {3, 2}},
                                                   before = {{-1, 3}}, beyond = {{8, 3}},
                                                   outside = {{10, 1}},
                                                   last_row_twice = {{4, 6}, {9, 1}};
    for (const auto& spans :
         {kept_overlap, twice, descending, before, beyond, outside, last_row_twice}) {
        OwnedPlan owned(10);
        owned.n_keep = 2;
        for (const auto& [row, n_rows] : spans) owned.add(row, n_rows);
        expect_broken(owned);
    }
    OwnedPlan owned(10);
    owned.add(2, 1).n_rows = INT32_MAX;
    expect_broken(owned);
}

TEST(PrefillRows, RefusesRowsThatABlockDoesNotHave) {
    for (const auto& [source_row, n_rows] :
         {std::pair{-1, 2}, {2, 3}, {4, 1}, {0, 5}, {INT32_MAX, 2}, {0, 0}, {1, -1}}) {
        OwnedPlan owned(20);
        owned.add(3, 4);
        owned.placed[0].source_row = source_row;
        owned.placed[0].n_rows = n_rows;
        expect_broken(owned);
    }
    OwnedPlan none(20);
    none.add(3, 4).block = nullptr;
    expect_broken(none);
}

TEST(PrefillRows, RefusesABlockOfAnotherModel) {
    OwnedPlan owned(20);
    owned.blocks.push_back(block_of(4, 0, {2, 4, 4}));
    owned.placed.push_back({3, 0, 4, owned.blocks.back().get()});
    expect_broken(owned);
}

TEST(PrefillRows, RefusesExactPagesAwayFromTheirPlace) {
    OwnedPlan gap(20);
    gap.add_page(2, 4);
    expect_broken(gap);

    OwnedPlan moved(20);
    moved.add_page(0, 4);
    moved.placed[0].row = 0;
    moved.blocks[0] = block_of(4, 8);
    moved.placed[0].block = moved.blocks[0].get();
    expect_broken(moved);

    OwnedPlan behind_others(20);
    behind_others.add(0, 4);
    behind_others.add_page(4, 4);
    expect_broken(behind_others);
}

TEST(PrefillRows, UsesAPartOfAPage) {
    OwnedPlan owned(20);
    owned.n_keep = 3;
    owned.blocks.push_back(block_of(8, 0));
    owned.placed.push_back({3, 3, 5, owned.blocks.back().get(), true});
    const Result<PrefillRows> rows = owned.rows();
    ASSERT_TRUE(rows.ok()) << rows.error().message;
    EXPECT_EQ(rows->n_fixed, 8);
}

TEST(PrefillRows, MergesAscendingLists) {
    const std::vector<int32_t> a = {1, 4, 9}, b = {0, 5, 6, 12}, none;
    EXPECT_EQ(merge_rows(a, b), (std::vector<int32_t>{0, 1, 4, 5, 6, 9, 12}));
    EXPECT_EQ(merge_rows(a, none), a);
    EXPECT_EQ(merge_rows(none, none), none);
}

}  // namespace
}  // namespace spolia
