#include "index/token_alignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace spolia {
namespace {

using Tokens = std::vector<Token>;

Tokens numbers(int32_t first, int32_t n) {
    Tokens tokens(static_cast<size_t>(n));
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
}

Tokens join(std::initializer_list<Tokens> parts) {
    Tokens all;
    for (const Tokens& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

// Which of `ours` lie in a common run: every pair of places is tried.
std::vector<bool> covered_by_trying(const Tokens& ours, const Tokens& theirs, size_t run_min) {
    std::vector<bool> covered(ours.size());
    for (size_t i = 0; i < ours.size(); ++i) {
        for (size_t j = 0; j < theirs.size(); ++j) {
            size_t n = 0;
            while (i + n < ours.size() && j + n < theirs.size() && ours[i + n] == theirs[j + n])
                ++n;
            if (n < run_min) continue;
            std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>(i), n, true);
        }
    }
    return covered;
}

std::vector<bool> covered_by(const std::vector<TokenRun>& runs, size_t n) {
    std::vector<bool> covered(n);
    for (const TokenRun& run : runs) std::fill_n(covered.begin() + run.ours, run.n, true);
    return covered;
}

void expect_sound(const std::vector<TokenRun>& runs, const Tokens& ours, const Tokens& theirs) {
    int32_t end = 0;
    for (const TokenRun& run : runs) {
        ASSERT_GE(run.ours, end);
        ASSERT_GT(run.n, 0);
        ASSERT_GE(run.theirs, 0);
        end = run.ours + run.n;
        ASSERT_LE(static_cast<size_t>(end), ours.size());
        ASSERT_LE(static_cast<size_t>(run.theirs + run.n), theirs.size());
        for (int32_t i = 0; i < run.n; ++i) {
            ASSERT_EQ(ours[static_cast<size_t>(run.ours + i)],
                      theirs[static_cast<size_t>(run.theirs + i)]);
        }
    }
}

TEST(TokenAlignment, TheSameTextIsOneRun) {
    const Tokens text = numbers(0, 100);
    EXPECT_EQ(align_tokens(text, text, 8), (std::vector<TokenRun>{{0, 0, 100}}));
}

TEST(TokenAlignment, AnEditedTokenIsLeftOut) {
    const Tokens theirs = numbers(0, 60);
    Tokens ours = theirs;
    ours[30] = 1000;
    EXPECT_EQ(align_tokens(ours, theirs, 8), (std::vector<TokenRun>{{0, 0, 30}, {31, 31, 29}}));
    ours[36] = 1000;
    EXPECT_EQ(align_tokens(ours, theirs, 8), (std::vector<TokenRun>{{0, 0, 30}, {37, 37, 23}}))
        << "five tokens between two edits are too few";
}

TEST(TokenAlignment, InsertionsAndDeletionsShiftWhatFollows) {
    const Tokens head = numbers(0, 20), middle = numbers(100, 10), tail = numbers(200, 20);
    const Tokens with = join({head, middle, tail}), without = join({head, tail});
    EXPECT_EQ(align_tokens(with, without, 8), (std::vector<TokenRun>{{0, 0, 20}, {30, 20, 20}}));
    EXPECT_EQ(align_tokens(without, with, 8), (std::vector<TokenRun>{{0, 0, 20}, {20, 30, 20}}));
}

TEST(TokenAlignment, FindsWhatWasMoved) {
    const Tokens a = numbers(0, 20), b = numbers(100, 15);
    EXPECT_EQ(align_tokens(join({b, a}), join({a, b}), 8),
              (std::vector<TokenRun>{{0, 20, 15}, {15, 0, 20}}));
}

TEST(TokenAlignment, TakesTheLongestOfWhatIsRepeated) {
    const Tokens title = numbers(0, 8), body = numbers(100, 12);
    const Tokens theirs = join({title, numbers(500, 5), title, body, title});
    EXPECT_EQ(align_tokens(join({title, body}), theirs, 8), (std::vector<TokenRun>{{0, 13, 20}}));
}

TEST(TokenAlignment, ARunThatOverlapsAnotherIsCutShort) {
    const Tokens ours = numbers(0, 13);
    const Tokens theirs = join({numbers(0, 10), {900}, numbers(5, 8)});
    EXPECT_EQ(align_tokens(ours, theirs, 8), (std::vector<TokenRun>{{0, 0, 10}, {10, 16, 3}}));
}

TEST(TokenAlignment, ShortTextsHaveNone) {
    EXPECT_TRUE(align_tokens({}, {}, 8).empty());
    EXPECT_TRUE(align_tokens(numbers(0, 7), numbers(0, 7), 8).empty());
    EXPECT_TRUE(align_tokens(numbers(0, 50), numbers(0, 7), 8).empty());
    EXPECT_EQ(align_tokens(numbers(0, 1), numbers(0, 1), 0), (std::vector<TokenRun>{{0, 0, 1}}));
}

TEST(TokenAlignment, CoversAsMuchAsTryingEverything) {
    const auto seed = std::random_device{}();
    std::mt19937 random(seed);
    for (int round = 0; round < 400; ++round) {
        // Few different tokens: much is repeated.
        const Token n_tokens = 2 + static_cast<Token>(random() % 40);
        const auto text = [&](size_t n) {
            Tokens tokens(n);
            for (Token& token : tokens) token = static_cast<Token>(random()) & 0x7fffffff;
            for (Token& token : tokens) token %= n_tokens;
            return tokens;
        };
        const Tokens theirs = text(random() % 120);
        Tokens ours = round % 2 == 0 ? theirs : text(random() % 120);
        for (size_t edits = random() % 8; edits > 0 && !ours.empty(); --edits) {
            const auto at = ours.begin() + static_cast<std::ptrdiff_t>(random() % ours.size());
            switch (random() % 4) {
                case 0: *at = static_cast<Token>(random() % 50); break;
                case 1: ours.erase(at); break;
                case 2: ours.insert(at, static_cast<Token>(random() % 50)); break;
                case 3: std::rotate(ours.begin(), at, ours.end()); break;
            }
        }
        const int32_t run_min = 1 + static_cast<int32_t>(random() % 10);
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        const std::vector<TokenRun> runs = align_tokens(ours, theirs, run_min);
        expect_sound(runs, ours, theirs);
        ASSERT_EQ(covered_by(runs, ours.size()),
                  covered_by_trying(ours, theirs, static_cast<size_t>(run_min)));
    }
}

}  // namespace
}  // namespace spolia
