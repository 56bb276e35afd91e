#include "index/vector_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "tests/support/vectors.h"

namespace spolia {
namespace {

using test::Clusters;
using test::numbered_key;

constexpr size_t kDims = 24;
constexpr size_t kRows = 1500;

class VectorGraphTest : public testing::Test {
protected:
    VectorGraphTest() {
        for (size_t i = 0; i < kRows; ++i)
            EXPECT_TRUE(rows_.append(numbered_key(i), clusters_.next()).ok());
    }

    std::shared_ptr<const VectorGraph> extend(const VectorGraph* base, size_t n_rows,
                                              int threads = 1) {
        auto graph = VectorGraph::extend(base, rows_, n_rows, {threads, stop_});
        EXPECT_TRUE(graph.ok());
        return *graph;
    }
    // Of rows that are searched for, how many are found as the nearest.
    double found_themselves(const VectorGraph& graph) const {
        size_t n_found = 0;
        for (size_t row = 0; row < graph.n_rows(); ++row) {
            const auto near = graph.search(rows_, {rows_.vector(row), kDims}, 32);
            EXPECT_LE(near.size(), 32u);
            EXPECT_TRUE(
                std::ranges::is_sorted(near, std::ranges::greater(), &VectorGraph::Near::score));
            if (!near.empty() && near[0].row == row) ++n_found;
        }
        return static_cast<double>(n_found) / static_cast<double>(graph.n_rows());
    }

    Clusters clusters_{1, 30, kDims, 0.6f};
    VectorRows rows_{kDims, std::make_shared<VectorMemory>()};
    std::atomic<bool> stop_{false};
};

TEST_F(VectorGraphTest, FindsItsRowsHoweverItWasBuilt) {
    EXPECT_GE(found_themselves(*extend(nullptr, kRows)), 0.99);
    const auto half = extend(nullptr, kRows / 2);
    const auto whole = extend(half.get(), kRows);
    EXPECT_EQ(half->n_rows(), kRows / 2);
    EXPECT_GE(found_themselves(*half), 0.99);
    EXPECT_GE(found_themselves(*whole), 0.99);
#if !defined(__SANITIZE_THREAD__)  // which does not know OpenMP's locks
    EXPECT_GE(found_themselves(*extend(nullptr, kRows, 2)), 0.99);
#endif
}

TEST_F(VectorGraphTest, MayHoldOneRowOrRowsThatAreAlike) {
    EXPECT_EQ(extend(nullptr, 1)->search(rows_, {rows_.vector(0), kDims}, 8).size(), 1u);
    VectorRows same(kDims, std::make_shared<VectorMemory>());
    for (size_t i = 0; i < 200; ++i) {
        ASSERT_TRUE(same.append(numbered_key(i), {rows_.vector(0), kDims}).ok());
    }
    const auto graph = VectorGraph::extend(nullptr, same, 200, {1, stop_});
    ASSERT_TRUE(graph.ok());
    EXPECT_FALSE((*graph)->search(same, {rows_.vector(0), kDims}, 8).empty());
}

TEST_F(VectorGraphTest, GivesUpWhenTold) {
    stop_ = true;
    const auto graph = VectorGraph::extend(nullptr, rows_, kRows, {1, stop_});
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.error().code, ErrorCode::kCancelled);
}

TEST_F(VectorGraphTest, IsTheSameFromItsParts) {
    const auto graph = extend(nullptr, kRows);
    const auto again = VectorGraph::from_parts(graph->parts());
    ASSERT_TRUE(again.ok());
    for (size_t row = 0; row < kRows; ++row) {
        const std::span<const float> query(rows_.vector(row), kDims);
        const auto near = graph->search(rows_, query, 16),
                   near_again = (*again)->search(rows_, query, 16);
        ASSERT_EQ(near.size(), near_again.size());
        for (size_t i = 0; i < near.size(); ++i) EXPECT_EQ(near[i].row, near_again[i].row);
    }
    // And grows on.
    const auto some = VectorGraph::from_parts(extend(nullptr, kRows / 2)->parts());
    ASSERT_TRUE(some.ok());
    EXPECT_GE(found_themselves(*extend(some->get(), kRows)), 0.99);
}

TEST_F(VectorGraphTest, RefusesPartsThatWouldLeadAstray) {
    const VectorGraph::Parts parts = extend(nullptr, kRows)->parts();
    const auto refuses = [&](auto&& change) {
        VectorGraph::Parts changed = parts;
        change(changed);
        const auto graph = VectorGraph::from_parts(std::move(changed));
        return !graph.ok() && graph.error().code == ErrorCode::kCorrupt;
    };
    const auto low =
        static_cast<size_t>(std::ranges::find(parts.n_levels, 1) - parts.n_levels.begin());
    EXPECT_TRUE(refuses([](auto& p) { p.entry = -1; }));
    EXPECT_TRUE(refuses([](auto& p) { p.entry = static_cast<int32_t>(kRows); }));
    EXPECT_TRUE(refuses([&](auto& p) { p.entry = static_cast<int32_t>(low); }));
    EXPECT_TRUE(refuses([](auto& p) { p.n_levels[3] = 0; }));
    EXPECT_TRUE(refuses([](auto& p) { p.n_levels[3] = 255; }));
    EXPECT_TRUE(refuses([&](auto& p) { p.n_levels[low] = 2; }));
    EXPECT_TRUE(refuses([](auto& p) { p.n_levels.pop_back(); }));
    EXPECT_TRUE(refuses([](auto& p) { p.links.pop_back(); }));
    EXPECT_TRUE(refuses([](auto& p) { p.links[7] = static_cast<int32_t>(kRows); }));
    EXPECT_TRUE(refuses([](auto& p) { p.links[7] = -2; }));
    EXPECT_TRUE(refuses([](auto& p) { p = {}; }));
    // A link from a row's second level to one that has none.
    EXPECT_TRUE(refuses([&](auto& p) {
        size_t at = 0;
        for (size_t row = 0; p.n_levels[row] == 1; ++row) at += 32;
        p.links[at + 32] = static_cast<int32_t>(low);
    }));
}

}  // namespace
}  // namespace spolia
