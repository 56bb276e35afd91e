#include "index/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/index/toy_tokenizer.h"

namespace spolia {
namespace {

using ::testing::ElementsAre;

std::vector<Segment> one_segment(const TokenizedText& prompt) {
    return {{SegmentRole::kChunk, {0, static_cast<int32_t>(prompt.tokens.size())}, {}}};
}

std::string text_of(const TokenizedText& prompt, TokenSpan rows) {
    const uint32_t begin = prompt.byte_begin[static_cast<size_t>(rows.begin)];
    return prompt.text.substr(begin, prompt.byte_begin[static_cast<size_t>(rows.end)] - begin);
}

std::vector<std::string> sentences(const std::string& text) {
    const TokenizedText prompt = testing::tokenize(text);
    std::vector<std::string> sentences;
    for (const Sentence& sentence : outline_prompt(prompt, one_segment(prompt)).sentences) {
        sentences.push_back(text_of(prompt, sentence.rows));
    }
    return sentences;
}

TEST(Outline, CutsSentences) {
    EXPECT_THAT(sentences("The box is red. It holds 3.5 kg! Is it full?"),
                ElementsAre("The box is red.", " It holds 3.5 kg!", " Is it full?"));
    EXPECT_THAT(sentences("See e.g. page 7. \"Go.\" She went."),
                ElementsAre("See e.g. page 7.", " \"Go.\"", " She went."));
    EXPECT_THAT(sentences("x = 1\ny = x\n\n- item\n"),
                ElementsAre("x = 1\n", "y = x\n\n", "- item\n"));
    EXPECT_THAT(sentences("..."), ElementsAre());
}

TEST(Outline, FindsWhatRefersBack) {
    const TokenizedText prompt =
        testing::tokenize("The box is red. It holds a key. Now they say it is full. We know this.");
    std::vector<bool> back;
    for (const Sentence& sentence : outline_prompt(prompt, one_segment(prompt)).sentences) {
        back.push_back(sentence.refers_back);
    }
    EXPECT_THAT(back, ElementsAre(false, true, true, false));
}

TEST(Outline, KnowsPartsAndTheirRoles) {
    const TokenizedText prompt = testing::tokenize("One box. Two keys. Which box?");
    const std::vector<Segment> segments = {{SegmentRole::kChunk, {0, 3}, {}},
                                           {SegmentRole::kGlue, {3, 6}, {}},
                                           {SegmentRole::kQuery, {6, 9}, {}}};
    ASSERT_EQ(prompt.tokens.size(), 9u);
    const PromptOutline outline = outline_prompt(prompt, segments);
    ASSERT_EQ(outline.sentences.size(), 3u);
    for (int32_t i = 0; i < 3; ++i) {
        const Sentence& sentence = outline.sentences[static_cast<size_t>(i)];
        EXPECT_EQ(sentence.part, i);
        EXPECT_EQ(sentence.role, segments[static_cast<size_t>(i)].role);
        EXPECT_EQ(sentence.rows, (TokenSpan{3 * i, 3 * i + 3}));
    }
    const auto words = [&](size_t i) { return outline.words_of(outline.sentences[i]); };
    ASSERT_EQ(words(0).size(), 2u);
    ASSERT_EQ(words(2).size(), 2u);
    EXPECT_EQ(words(0)[1], words(2)[1]) << "box";
}

TEST(Outline, KnowsWhetherTheQueryIsAboutAll) {
    const auto asks_for_all = [](const std::string& text, const std::string& query) {
        const TokenizedText told = testing::tokenize(text),
                            prompt = testing::tokenize(text + query);
        const auto border = static_cast<int32_t>(told.tokens.size());
        const auto end = static_cast<int32_t>(prompt.tokens.size());
        const std::vector<Segment> segments = {{SegmentRole::kChunk, {0, border}, {}},
                                               {SegmentRole::kQuery, {border, end}, {}}};
        return outline_prompt(prompt, segments).asks_for_all;
    };
    EXPECT_TRUE(asks_for_all("One box.", " How many boxes?"));
    EXPECT_TRUE(asks_for_all("One box.", " Count the keys. List them."));
    EXPECT_FALSE(asks_for_all("All boxes count, many keys.", " Which of them is allied?"));
}

TEST(Outline, NothingWithoutOffsets) {
    TokenizedText prompt = testing::tokenize("One box.");
    prompt.byte_begin.clear();
    EXPECT_TRUE(outline_prompt(prompt, one_segment(prompt)).sentences.empty());
}

TEST(Outline, LongSentencesAreCut) {
    std::string text;
    for (int i = 0; i < 500; ++i) text += " word" + std::to_string(i);
    const TokenizedText prompt = testing::tokenize(text);
    const PromptOutline outline = outline_prompt(prompt, one_segment(prompt));
    ASSERT_GT(outline.sentences.size(), 5u);
    for (const Sentence& sentence : outline.sentences) EXPECT_LE(sentence.rows.size(), 97);
}

TEST(Outline, CoversRandomTexts) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 300; ++round) {
        std::string text = testing::make_document(random(), 4, 1, 200);
        for (int i = 0; i < 5; ++i) text[random() % text.size()] = ".\n!Z\xe3"[random() % 5];
        const TokenizedText prompt = testing::tokenize_at_random(text, random());
        std::vector<Segment> segments;
        const auto n_rows = static_cast<int32_t>(prompt.tokens.size());
        for (int32_t begin = 0; begin < n_rows;) {
            const int32_t end = std::min(n_rows, begin + 1 + static_cast<int32_t>(random() % 200));
            segments.push_back({SegmentRole::kChunk, {begin, end}, {}});
            begin = end;
        }
        const PromptOutline outline = outline_prompt(prompt, segments);
        uint32_t word = 0;
        int32_t row = 0;
        for (const Sentence& sentence : outline.sentences) {
            const TokenSpan part = segments[static_cast<size_t>(sentence.part)].span;
            ASSERT_FALSE(sentence.rows.empty());
            ASSERT_TRUE(sentence.rows.begin >= part.begin && sentence.rows.end <= part.end);
            ASSERT_GE(sentence.rows.begin, row - 1) << "neighbours share one token at most";
            row = sentence.rows.end;
            ASSERT_EQ(sentence.word_begin, word);
            word = sentence.word_end;
            std::set<uint64_t> stems;
            for (const uint64_t stem : outline.words_of(sentence)) {
                ASSERT_TRUE(stems.insert(stem).second);
            }
        }
        ASSERT_EQ(word, outline.words.size());
    }
}

}  // namespace
}  // namespace spolia
