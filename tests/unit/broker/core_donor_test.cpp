#include "broker/core/donor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace spolia {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr size_t kPart = 3;
constexpr int32_t kSentence = 10;  // tokens of each; its index is its only word

// A text of sentences, named by their tokens.
std::shared_ptr<const DonorText> text_of(const std::vector<Token>& tokens) {
    auto text = std::make_shared<DonorText>();
    text->tokens = tokens;
    const auto n = static_cast<int32_t>(tokens.size());
    for (int32_t begin = 0; begin < n; begin += kSentence) {
        Sentence sentence{.rows = {begin, std::min(begin + kSentence, n)}};
        sentence.word_begin = static_cast<uint32_t>(text->outline.words.size());
        text->outline.words.push_back(static_cast<uint64_t>(begin / kSentence));
        sentence.word_end = static_cast<uint32_t>(text->outline.words.size());
        text->outline.sentences.push_back(sentence);
    }
    return text;
}

std::vector<Token> numbers(int32_t n) {
    std::vector<Token> tokens(static_cast<size_t>(n));
    std::iota(tokens.begin(), tokens.end(), 0);
    return tokens;
}

// The chunk stands behind 5 tokens, in front of 4.
std::optional<Donor> donor_for(const std::vector<Token>& chunk, const std::vector<Token>& donor) {
    std::vector<Token> prompt(5, -1);
    prompt.insert(prompt.end(), chunk.begin(), chunk.end());
    prompt.insert(prompt.end(), 4, -1);
    const TokenSpan rows{5, 5 + static_cast<int32_t>(chunk.size())};
    return make_donor(kPart, rows, prompt, text_of(donor));
}

TEST(Donor, TheSameTextKnowsAllOfIt) {
    const auto donor = donor_for(numbers(40), numbers(40));
    ASSERT_TRUE(donor);
    EXPECT_EQ(donor->part, kPart);
    EXPECT_EQ(donor->n_rows(), 40);
    ASSERT_EQ(donor->runs.size(), 1u);
    EXPECT_EQ(donor->runs[0].rows, (TokenSpan{5, 45}));
    EXPECT_THAT(donor->runs[0].known->edited, IsEmpty());
    EXPECT_THAT(donor->runs[0].known->lost, IsEmpty());
    EXPECT_THAT(donor->runs[0].known->parts, ElementsAre(kPart));
}

TEST(Donor, WhatFollowsAnEditKnowsOfIt) {
    std::vector<Token> chunk = numbers(40);
    chunk[15] = 999;
    const auto donor = donor_for(chunk, numbers(40));
    ASSERT_TRUE(donor);
    ASSERT_EQ(donor->runs.size(), 2u);
    EXPECT_THAT(donor->runs[0].known->edited, IsEmpty());
    EXPECT_THAT(donor->runs[0].known->lost, IsEmpty()) << "the edit is behind it";
    EXPECT_EQ(donor->runs[1].rows, (TokenSpan{21, 45}));
    EXPECT_EQ(donor->runs[1].source_row, 16);
    EXPECT_THAT(donor->runs[1].known->edited, ElementsAre(TokenSpan{20, 21}));
    EXPECT_THAT(donor->runs[1].known->lost, ElementsAre(1)) << "the sentence that was another";
}

TEST(Donor, WhatIsGoneIsAnEditOfTheRowBehindIt) {
    std::vector<Token> chunk = numbers(50);
    chunk.erase(chunk.begin() + 10, chunk.begin() + 30);
    const auto donor = donor_for(chunk, numbers(50));
    ASSERT_TRUE(donor);
    ASSERT_EQ(donor->runs.size(), 2u);
    EXPECT_EQ(donor->runs[1].source_row, 30);
    EXPECT_THAT(donor->runs[1].known->edited, ElementsAre(TokenSpan{15, 16}));
    EXPECT_THAT(donor->runs[1].known->lost, ElementsAre(1, 2));
}

TEST(Donor, WhatWasMovedBehindIsLostToWhatItStoodInFrontOf) {
    std::vector<Token> chunk = numbers(40);
    std::ranges::rotate(chunk, chunk.begin() + 20);
    const auto donor = donor_for(chunk, numbers(40));
    ASSERT_TRUE(donor);
    ASSERT_EQ(donor->runs.size(), 2u);
    EXPECT_EQ(donor->runs[0].source_row, 20);
    EXPECT_THAT(donor->runs[0].known->lost, ElementsAre(0, 1));
    EXPECT_THAT(donor->runs[1].known->lost, IsEmpty()) << "nothing was in front of it";
    EXPECT_EQ(donor->runs[1].known->edited.back(), (TokenSpan{25, 26}));
}

TEST(Donor, HalfOfAChunkIsTheLeast) {
    std::vector<Token> chunk = numbers(40);
    std::fill_n(chunk.begin(), 20, 999);
    EXPECT_TRUE(donor_for(chunk, numbers(40)));
    chunk[20] = 999;
    EXPECT_FALSE(donor_for(chunk, numbers(40)));
    EXPECT_FALSE(donor_for(numbers(40), {}));
}

TEST(Donor, NeverHasARowOfAnotherToken) {
    const auto seed = std::random_device{}();
    std::mt19937 random(seed);
    for (int round = 0; round < 300; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        std::vector<Token> theirs(1 + random() % 200);
        for (Token& token : theirs) token = static_cast<Token>(random() % 60);
        std::vector<Token> ours = theirs;
        for (size_t edits = random() % 10; edits > 0 && !ours.empty(); --edits) {
            const auto at = ours.begin() + static_cast<std::ptrdiff_t>(random() % ours.size());
            switch (random() % 4) {
                case 0: *at = static_cast<Token>(random() % 60); break;
                case 1: ours.erase(at); break;
                case 2: ours.insert(at, static_cast<Token>(random() % 60)); break;
                case 3: std::rotate(ours.begin(), at, ours.end()); break;
            }
        }
        const auto donor = donor_for(ours, theirs);
        if (!donor) continue;
        EXPECT_GE(2 * donor->n_rows(), static_cast<int32_t>(ours.size()));
        int32_t end = 5;
        for (const DonorRun& run : donor->runs) {
            ASSERT_GE(run.rows.begin, end);
            end = run.rows.end;
            ASSERT_LE(end, 5 + static_cast<int32_t>(ours.size()));
            for (int32_t i = 0; i < run.rows.size(); ++i) {
                ASSERT_EQ(ours[static_cast<size_t>(run.rows.begin - 5 + i)],
                          theirs[static_cast<size_t>(run.source_row + i)]);
            }
            const KnownContext& known = *run.known;
            ASSERT_TRUE(std::ranges::is_sorted(known.lost));
            int32_t edit_end = 0;
            for (const TokenSpan& edit : known.edited) {
                ASSERT_GE(edit.begin, edit_end);
                ASSERT_LT(edit.begin, edit.end);
                edit_end = edit.end;
            }
        }
    }
}

}  // namespace
}  // namespace spolia
