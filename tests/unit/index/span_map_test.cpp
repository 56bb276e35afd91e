#include "index/span_map.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/unit/index/toy_tokenizer.h"

namespace spolia {
namespace {

TokenizedText with_offsets(std::vector<uint32_t> offsets) {
    TokenizedText prompt;
    prompt.text.resize(offsets.back());
    prompt.tokens.resize(offsets.size() - 1);
    prompt.byte_begin = std::move(offsets);
    return prompt;
}

TEST(SpanMapTest, LeavesStraddlingTokensOut) {
    const TokenizedText prompt = with_offsets({0, 3, 5, 9, 10});
    EXPECT_EQ(tokens_inside(prompt, {0, 10}), (TokenSpan{0, 4}));
    EXPECT_EQ(tokens_inside(prompt, {3, 9}), (TokenSpan{1, 3}));
    EXPECT_EQ(tokens_inside(prompt, {2, 9}), (TokenSpan{1, 3}));
    EXPECT_EQ(tokens_inside(prompt, {3, 8}), (TokenSpan{1, 2}));
    EXPECT_TRUE(tokens_inside(prompt, {6, 8}).empty());
    EXPECT_TRUE(tokens_inside(prompt, {5, 5}).empty());
    EXPECT_TRUE(tokens_inside(prompt, {10, 10}).empty());
}

TEST(SpanMapTest, LeavesTokensWithoutTextOutAtBothEnds) {
    // A BOS, one in the middle, one at the end.
    const TokenizedText prompt = with_offsets({0, 0, 4, 8, 8, 12, 12});
    EXPECT_EQ(tokens_inside(prompt, {0, 12}), (TokenSpan{1, 5}));
    EXPECT_EQ(tokens_inside(prompt, {0, 8}), (TokenSpan{1, 3}));
    EXPECT_EQ(tokens_inside(prompt, {8, 12}), (TokenSpan{4, 5}));
    EXPECT_EQ(tokens_touching(prompt, {0, 1}), (TokenSpan{1, 2}));
}

TEST(SpanMapTest, TouchingTokensIncludeStraddlingOnes) {
    const TokenizedText prompt = with_offsets({0, 3, 5, 9, 10});
    EXPECT_EQ(tokens_touching(prompt, {2, 6}), (TokenSpan{0, 3}));
    EXPECT_EQ(tokens_touching(prompt, {6, 8}), (TokenSpan{2, 3}));
    EXPECT_TRUE(tokens_touching(prompt, {6, 6}).empty());
    EXPECT_TRUE(tokens_touching(prompt, {10, 12}).empty());
}

TEST(SpanMapTest, RefusesOffsetsThatCanNotBeUsed) {
    EXPECT_TRUE(has_usable_offsets(with_offsets({0, 3, 3})));
    EXPECT_FALSE(has_usable_offsets(TokenizedText{"text", {1, 2}, {}}));
    EXPECT_FALSE(has_usable_offsets(TokenizedText{"text", {1, 2}, {0, 4}}));
    EXPECT_FALSE(has_usable_offsets(TokenizedText{"text", {1, 2}, {0, 3, 2}}));
    EXPECT_FALSE(has_usable_offsets(TokenizedText{"text", {1, 2}, {0, 3, 5}}));
}

// The first to the last token for which `wanted` holds, by looking at every token.
template <class Predicate>
TokenSpan naive_span(const TokenizedText& prompt, Predicate wanted) {
    TokenSpan span{-1, -1};
    for (int32_t i = 0; i < static_cast<int32_t>(prompt.tokens.size()); ++i) {
        const uint32_t begin = prompt.byte_begin[i], end = prompt.byte_begin[i + 1];
        if (begin == end || !wanted(begin, end)) continue;
        if (span.begin < 0) span.begin = i;
        span.end = i + 1;
    }
    return span;
}

TEST(SpanMapTest, EqualsAScanOfAllTokens) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 200; ++round) {
        const TokenizedText prompt =
            testing::tokenize_at_random(std::string(random() % 60, 'x'), random());
        const uint32_t size = static_cast<uint32_t>(prompt.text.size());
        const TextRange range{static_cast<uint32_t>(random() % (size + 1)),
                              static_cast<uint32_t>(random() % (size + 1))};
        const TokenSpan inside = naive_span(prompt, [&](uint32_t begin, uint32_t end) {
            return begin >= range.begin && end <= range.end;
        });
        const TokenSpan touching = naive_span(prompt, [&](uint32_t begin, uint32_t end) {
            return begin < range.end && end > range.begin && range.begin < range.end;
        });
        const TokenSpan found_inside = tokens_inside(prompt, range);
        const TokenSpan found_touching = tokens_touching(prompt, range);
        EXPECT_TRUE(found_inside == inside || (inside.begin < 0 && found_inside.empty()));
        EXPECT_TRUE(found_touching == touching || (touching.begin < 0 && found_touching.empty()));

        int32_t at = 0;
        while (at < static_cast<int32_t>(prompt.tokens.size()) &&
               prompt.byte_begin[at] < range.begin) {
            ++at;
        }
        EXPECT_EQ(token_at(prompt, range.begin), at);
    }
}

}  // namespace
}  // namespace spolia
