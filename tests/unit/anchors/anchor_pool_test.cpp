#include "anchors/anchor_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/anchors/anchors.h"

namespace spolia {
namespace {

using testing::context_chunk;
using testing::key_of;
using testing::make_anchor;

TEST(AnchorPool, FindsTheAnchorsOfAChunk) {
    AnchorPool pool({});
    EXPECT_TRUE(pool.snapshot()->find(key_of("x")).empty());
    EXPECT_TRUE(
        pool.add({make_anchor("x", {"a"}), make_anchor("x", {"b"}), make_anchor("y", {})}).empty());
    const auto snapshot = pool.snapshot();
    EXPECT_EQ(snapshot->find(key_of("x")).size(), 2u);
    EXPECT_EQ(snapshot->find(key_of("y")).size(), 1u);
    EXPECT_EQ(snapshot->of_block(make_anchor("x", {"b"}).block)->chunk, key_of("x"));
    EXPECT_EQ(snapshot->of_block(key_of("x")), nullptr);
    EXPECT_EQ(pool.stats().bytes, 300u);
}

TEST(AnchorPool, ASnapshotStaysAsItWas) {
    AnchorPool pool({});
    pool.add({make_anchor("x", {"a"})});
    const auto before = pool.snapshot();
    pool.add({make_anchor("x", {"b"})});
    pool.erase({{make_anchor("x", {"a"}).block}});
    EXPECT_EQ(before->size(), 1u);
    EXPECT_EQ(before->find(key_of("x")).front()->context.front().key, key_of("a"));
    EXPECT_EQ(pool.snapshot()->find(key_of("x")).front()->context.front().key, key_of("b"));
}

TEST(AnchorPool, TakesTheNewAnchorInPlaceOfTheOld) {
    AnchorPool pool({});
    Anchor anchor = make_anchor("x", {"a"}, 100);
    anchor.depth = 2;
    pool.add({anchor});
    anchor.depth = 0;
    anchor.bytes = 70;
    pool.add({anchor});
    EXPECT_EQ(pool.snapshot()->find(key_of("x")).size(), 1u);
    EXPECT_EQ(pool.snapshot()->find(key_of("x")).front()->depth, 0);
    EXPECT_EQ(pool.stats().bytes, 70u);
}

TEST(AnchorPool, KeepsWhatIsUsed) {
    AnchorPool pool({.bytes_max = 300, .contexts_max = 4});
    pool.add({make_anchor("a", {}), make_anchor("b", {}), make_anchor("c", {})});
    const Key128 kept = make_anchor("a", {}).block;
    pool.used({{kept}});
    EXPECT_EQ(pool.add({make_anchor("d", {})}), std::vector{make_anchor("b", {}).block});
    EXPECT_EQ(pool.add({make_anchor("e", {})}), std::vector{make_anchor("c", {}).block});
    EXPECT_NE(pool.snapshot()->of_block(kept), nullptr);
    EXPECT_EQ(pool.stats().evictions, 2u);
    EXPECT_EQ(pool.stats().bytes, 300u);
}

TEST(AnchorPool, ForgetsUsesOfLongAgo) {
    AnchorPool pool({.bytes_max = 200, .contexts_max = 4});
    pool.add({make_anchor("old", {}), make_anchor("new", {})});
    const Key128 old_block = make_anchor("old", {}).block;
    const Key128 new_block = make_anchor("new", {}).block;
    for (int i = 0; i < 8; ++i) pool.used({{old_block}});
    for (int i = 0; i < 4 * static_cast<int>(AnchorPool::kHalfLife); ++i) pool.used({{new_block}});
    EXPECT_EQ(pool.add({make_anchor("newer", {})}), std::vector{old_block});
}

TEST(AnchorPool, BoundsTheContextsOfAChunk) {
    AnchorPool pool({.bytes_max = 10'000, .contexts_max = 2});
    pool.add({make_anchor("x", {"a"}), make_anchor("x", {"b"})});
    pool.used({{make_anchor("x", {"a"}).block}});
    EXPECT_EQ(pool.add({make_anchor("x", {"c"})}), std::vector{make_anchor("x", {"b"}).block});
}

TEST(AnchorPool, KeepsTheWordsOfAChunkOnce) {
    AnchorPool pool({});
    for (const char* chunk : {"x", "y"}) {
        Anchor anchor = make_anchor(chunk, {});
        anchor.context = {context_chunk("a", {1, 2, 3})};
        pool.add({anchor});
    }
    const auto snapshot = pool.snapshot();
    EXPECT_EQ(snapshot->find(key_of("x")).front()->context.front().words,
              snapshot->find(key_of("y")).front()->context.front().words);
}

// Against a list that is searched through, under random load.
TEST(AnchorPool, KeepsItsBudget) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr uint64_t kBytesMax = 5000;
    AnchorPool pool({.bytes_max = kBytesMax, .contexts_max = 3});
    std::map<Key128, std::pair<Key128, uint64_t>> model;  // chunk and bytes by block
    for (int step = 0; step < 2000; ++step) {
        const std::string chunk = "chunk " + std::to_string(random() % 20);
        const std::string context = "context " + std::to_string(random() % 6);
        if (random() % 3 == 0) {
            const Key128 block = make_anchor(chunk, {context}).block;
            if (random() % 2 == 0) {
                pool.used({{block}});
            } else {
                pool.erase({{block}});
                model.erase(block);
            }
            continue;
        }
        const Anchor anchor = make_anchor(chunk, {context}, 50 + random() % 400);
        model[anchor.block] = {anchor.chunk, anchor.bytes};
        for (const Key128& block : pool.add({anchor})) ASSERT_EQ(model.erase(block), 1u);
        uint64_t bytes = 0;
        std::map<Key128, int> of_chunk;
        for (const auto& [block, entry] : model) {
            bytes += entry.second;
            ASSERT_LE(++of_chunk[entry.first], 3);
            ASSERT_NE(pool.snapshot()->of_block(block), nullptr);
        }
        ASSERT_LE(bytes, kBytesMax);
        ASSERT_EQ(pool.stats().bytes, bytes);
        ASSERT_EQ(pool.stats().anchors, model.size());
    }
}

TEST(AnchorPool, ReadersAndWritersDoNotDisturbEachOther) {
    AnchorPool pool({.bytes_max = 3000, .contexts_max = 3});
    std::atomic<bool> done = false;
    std::atomic<int> n_broken = 0;
    std::vector<std::thread> threads;
    for (int reader = 0; reader < 2; ++reader) {
        threads.emplace_back([&] {
            while (!done) {
                const auto snapshot = pool.snapshot();
                for (const auto& anchor : snapshot->all()) {
                    if (snapshot->of_block(anchor->block) != anchor) ++n_broken;
                    if (snapshot->find(anchor->chunk).empty()) ++n_broken;
                }
            }
        });
    }
    std::vector<std::thread> writers;
    for (int writer = 0; writer < 2; ++writer) {
        writers.emplace_back([&pool, writer] {
            for (int i = 0; i < 300; ++i) {
                const Anchor anchor = make_anchor("x" + std::to_string(i % 17),
                                                  {"c" + std::to_string((i + writer) % 5)}, 100);
                pool.add({anchor});
                pool.used({{anchor.block}});
                if (i % 5 == 0) pool.erase({{anchor.block}});
            }
        });
    }
    for (std::thread& writer : writers) writer.join();
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_broken, 0);
    EXPECT_LE(pool.stats().bytes, 3000u);
}

}  // namespace
}  // namespace spolia
