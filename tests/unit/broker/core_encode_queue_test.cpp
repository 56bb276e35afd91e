#include "broker/core/encode_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace spolia {
namespace {

Key128 key_of(uint64_t n) { return {0, n}; }

void add(EncodeQueue& queue, uint64_t n) {
    const std::vector<Token> tokens = {static_cast<Token>(n)};
    queue.add({}, key_of(n), tokens);
}

TEST(EncodeQueue, GivesTheMostSeenThenTheNewest) {
    EncodeQueue queue(8);
    for (const uint64_t n : {1, 2, 3, 4, 2}) add(queue, n);
    EXPECT_EQ(queue.size(), 4u);
    for (const uint64_t n : {2, 4, 3, 1}) {
        const auto chunk = queue.first();
        ASSERT_TRUE(chunk);
        EXPECT_EQ(chunk->key, key_of(n));
        EXPECT_EQ(chunk->tokens, std::vector<Token>{static_cast<Token>(n)});
        EXPECT_TRUE(queue.contains(key_of(n))) << "until it is encoded";
        queue.remove(key_of(n));
    }
    EXPECT_FALSE(queue.first());
}

TEST(EncodeQueue, DropsTheLeastWhenFull) {
    EncodeQueue queue(3);
    for (const uint64_t n : {1, 1, 2, 3, 4, 5}) add(queue, n);
    EXPECT_EQ(queue.size(), 3u);
    EXPECT_TRUE(queue.contains(key_of(1))) << "seen twice";
    EXPECT_TRUE(queue.contains(key_of(4)));
    EXPECT_TRUE(queue.contains(key_of(5)));
    EXPECT_FALSE(queue.contains(key_of(2)));
}

TEST(EncodeQueue, MayHoldNothing) {
    EncodeQueue queue(0);
    add(queue, 1);
    EXPECT_TRUE(queue.empty());
}

TEST(EncodeQueue, Removes) {
    EncodeQueue queue(3);
    add(queue, 1);
    queue.remove(key_of(2));
    EXPECT_EQ(queue.size(), 1u);
    queue.remove(key_of(1));
    EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace spolia
