#include "index/registered_chunks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace spolia {
namespace {

using Tokens = std::vector<Token>;

RegisteredChunkSet make_set(const std::vector<Tokens>& chunks) {
    RegisteredChunkSet::Builder builder;
    for (const Tokens& chunk : chunks) EXPECT_TRUE(builder.add(chunk).ok());
    return std::move(builder).build();
}

int32_t naive_match(const std::vector<Tokens>& chunks, std::span<const Token> tokens) {
    size_t longest = 0;
    for (const Tokens& chunk : chunks) {
        const bool starts =
            chunk.size() <= tokens.size() && std::equal(chunk.begin(), chunk.end(), tokens.begin());
        if (starts) longest = std::max(longest, chunk.size());
    }
    return static_cast<int32_t>(longest);
}

TEST(RegisteredChunksTest, AnEmptySetMatchesNothing) {
    EXPECT_EQ(RegisteredChunkSet().match(Tokens{1, 2, 3}), 0);
    EXPECT_EQ(make_set({}).match({}), 0);
}

TEST(RegisteredChunksTest, FindsTheLongest) {
    const RegisteredChunkSet set = make_set({{1, 2}, {1, 2, 3, 4}, {1, 3}, {1, 2, 3, 5, 6}});
    EXPECT_EQ(set.match(Tokens{1, 2, 3, 4, 5}), 4);
    EXPECT_EQ(set.match(Tokens{1, 2, 3, 5, 9}), 2);
    EXPECT_EQ(set.match(Tokens{1, 2}), 2);
    EXPECT_EQ(set.match(Tokens{1}), 0);
    EXPECT_EQ(set.match(Tokens{2, 1, 2}), 0);
    EXPECT_EQ(set.match({}), 0);
}

TEST(RegisteredChunksTest, TokensOfZeroAreLikeOthers) {
    const RegisteredChunkSet set = make_set({Tokens(5, 0), Tokens(20, 0)});
    EXPECT_EQ(set.match(Tokens(19, 0)), 5);
    EXPECT_EQ(set.match(Tokens(21, 0)), 20);
    EXPECT_EQ(set.match(Tokens(4, 0)), 0);
}

TEST(RegisteredChunksTest, AddingTwiceIsAddingOnce) {
    const RegisteredChunkSet set = make_set({{1, 2, 3}, {4}, {1, 2, 3}});
    EXPECT_EQ(set.size(), 2u);
    EXPECT_EQ(set.match(Tokens{1, 2, 3}), 3);
}

TEST(RegisteredChunksTest, RefusesNoTokensAndTooMany) {
    RegisteredChunkSet::Builder builder(5);
    EXPECT_EQ(builder.add({}).error().code, ErrorCode::kInvalidArgument);
    ASSERT_TRUE(builder.add(Tokens{1, 2, 3}).ok());
    EXPECT_EQ(builder.add(Tokens{1, 2, 3}).error().code, ErrorCode::kOverloaded);
    ASSERT_TRUE(builder.add(Tokens{4, 5}).ok());
    const RegisteredChunkSet set = std::move(builder).build();
    EXPECT_EQ(set.size(), 2u);
    EXPECT_EQ(set.match(Tokens{4, 5, 6}), 2);
}

// Few different tokens and many shared heads and prefixes, around the head length of 16.
TEST(RegisteredChunksTest, EqualsAScanOfAllChunks) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 60; ++round) {
        const auto draw = [&](size_t n) {
            Tokens tokens(n);
            for (Token& token : tokens) token = random() % 8 == 0 ? 1 : 0;
            return tokens;
        };
        std::vector<Tokens> chunks;
        for (uint64_t n = random() % 60; n > 0; --n) {
            Tokens chunk = draw(1 + random() % 20);
            if (!chunks.empty() && random() % 2 == 0) {
                const Tokens& prefix = chunks[random() % chunks.size()];
                chunk.insert(chunk.begin(), prefix.begin(), prefix.end());
            }
            chunks.push_back(std::move(chunk));
        }
        const RegisteredChunkSet set = make_set(chunks);
        Tokens text = draw(200);
        for (const Tokens& chunk : chunks) text.insert(text.end(), chunk.begin(), chunk.end());
        for (size_t at = 0; at < text.size(); ++at) {
            const std::span<const Token> rest = std::span(text).subspan(at);
            ASSERT_EQ(set.match(rest), naive_match(chunks, rest))
                << "round " << round << " at " << at;
        }
    }
}

}  // namespace
}  // namespace spolia
