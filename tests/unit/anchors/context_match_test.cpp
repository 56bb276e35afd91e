#include "anchors/context_match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/anchors/anchors.h"

namespace spolia {
namespace {

using testing::context_chunk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::key_of;
using testing::make_anchor;

// Chunks in parts 1, 3, 5 ...; the one that rows are wanted for comes behind them.
struct Here {
    explicit Here(const std::vector<std::string>& names) {
        for (const std::string& name : names) chunks.push_back({key_of(name), next_part()});
        part = next_part();
    }
    int32_t next_part() const { return static_cast<int32_t>(2 * chunks.size() + 1); }

    std::vector<ChunkInFront> chunks;
    int32_t part = 0;
};

AnchorMatch match(Anchor anchor, const Here& here) {
    return match_context(std::make_shared<const Anchor>(std::move(anchor)), here.chunks, here.part);
}

TEST(ContextMatch, TheSameContextIsKnownWhole) {
    const AnchorMatch found = match(make_anchor("x", {"a", "b"}), Here({"a", "b"}));
    EXPECT_THAT(found.known.parts, ElementsAre(1, 3));
    EXPECT_THAT(found.known.adjoining, ElementsAre(3, 5)) << "nothing is in front of the first";
    EXPECT_THAT(found.known.lost, IsEmpty());
    EXPECT_EQ(found.n_known, 2);
    EXPECT_EQ(found.n_lost, 0);
}

TEST(ContextMatch, WhatIsNewHereIsNotKnown) {
    const AnchorMatch found = match(make_anchor("x", {"a", "b"}), Here({"n", "a", "m", "b"}));
    EXPECT_THAT(found.known.parts, ElementsAre(3, 7));
    EXPECT_THAT(found.known.adjoining, ElementsAre(9));
    EXPECT_EQ(found.n_lost, 0);
}

TEST(ContextMatch, TellsTheWordsOfWhatWasOnlyThere) {
    Anchor anchor = make_anchor("x", {});
    anchor.context = {context_chunk("a", {5, 9}), context_chunk("b", {1}),
                      context_chunk("c", {2, 5})};
    const AnchorMatch found = match(std::move(anchor), Here({"b"}));
    EXPECT_THAT(found.known.parts, ElementsAre(1));
    EXPECT_THAT(found.known.adjoining, IsEmpty());
    EXPECT_THAT(found.known.lost, ElementsAre(2, 5, 9));
    EXPECT_EQ(found.n_lost, 2);
}

TEST(ContextMatch, OrderCounts) {
    const AnchorMatch found = match(make_anchor("x", {"a", "b", "c"}), Here({"c", "a", "b"}));
    EXPECT_THAT(found.known.parts, ElementsAre(3, 5));
    EXPECT_EQ(found.n_lost, 1);
}

// All subsequences of `there`, longest first.
int32_t longest_common(const std::vector<std::string>& there,
                       const std::vector<std::string>& here) {
    int32_t longest = 0;
    for (uint32_t mask = 0; mask < (1u << there.size()); ++mask) {
        size_t at = 0;
        int32_t n = 0;
        bool found = true;
        for (size_t i = 0; i < there.size() && found; ++i) {
            if ((mask >> i & 1) == 0) continue;
            while (at < here.size() && here[at] != there[i]) ++at;
            found = at++ < here.size();
            ++n;
        }
        if (found) longest = std::max(longest, n);
    }
    return longest;
}

TEST(ContextMatch, FindsAsMuchAsTryingEverything) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto some = [&] {
        std::vector<std::string> names(random() % 8);
        for (std::string& name : names)
            name = std::string(1, static_cast<char>('a' + random() % 5));
        return names;
    };
    for (int i = 0; i < 500; ++i) {
        const std::vector<std::string> there = some(), here = some();
        const AnchorMatch found = match(make_anchor("x", there), Here(here));
        ASSERT_EQ(found.n_known, longest_common(there, here));
        ASSERT_EQ(found.n_known + found.n_lost, static_cast<int32_t>(there.size()));
        ASSERT_EQ(found.known.parts.size(), static_cast<size_t>(found.n_known));
        ASSERT_TRUE(std::ranges::is_sorted(found.known.parts, std::ranges::less_equal()));
        // In the order given they are a subsequence of what was there.
        auto next = there.begin();
        for (const int32_t part : found.known.parts) {
            next = std::find(next, there.end(), here[static_cast<size_t>(part / 2)]);
            ASSERT_NE(next++, there.end());
        }
    }
}

std::vector<std::shared_ptr<const Anchor>> shared(std::vector<Anchor> anchors) {
    std::vector<std::shared_ptr<const Anchor>> all;
    for (Anchor& anchor : anchors) all.push_back(std::make_shared<const Anchor>(std::move(anchor)));
    return all;
}

TEST(BestAnchor, KnowsMostAndLosesLeast) {
    const Here here({"a", "b"});
    const auto anchors = shared({make_anchor("x", {"a"}), make_anchor("x", {"a", "b", "l"}),
                                 make_anchor("x", {"q", "a", "l"})});
    const auto best = best_anchor(anchors, here.chunks, here.part);
    ASSERT_TRUE(best);
    EXPECT_EQ(best->anchor, anchors[1]);
}

TEST(BestAnchor, PrefersRowsThatWereComputedDensely) {
    const Here here({"a"});
    auto anchors = std::vector{make_anchor("x", {"a"}), make_anchor("x", {"a"})};
    anchors[0].depth = 1;
    const auto all = shared(std::move(anchors));
    EXPECT_EQ(best_anchor(all, here.chunks, here.part)->anchor, all[1]);
}

TEST(BestAnchor, KnowsWhetherRowsEncodedAloneAreAsGood) {
    const Here here({"a", "b"});
    EXPECT_FALSE(best_anchor({}, here.chunks, here.part));
    const auto worth = [&](const std::vector<std::string>& context) {
        return best_anchor(shared({make_anchor("x", context)}), here.chunks, here.part)->worth();
    };
    EXPECT_EQ(worth({}), 0);
    EXPECT_EQ(worth({"l", "a", "m"}), 0);
    EXPECT_EQ(worth({"l"}), -1);
    EXPECT_EQ(worth({"l", "b"}), 1);
}

}  // namespace
}  // namespace spolia
