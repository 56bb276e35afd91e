#include "index/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace spolia {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> words;
    for_each_word(text, [&](uint64_t, size_t begin, std::string_view word) {
        EXPECT_EQ(text.substr(begin, word.size()), word);
        words.emplace_back(word);
    });
    return words;
}

uint64_t stem(std::string_view word) {
    std::vector<uint64_t> stems;
    for_each_word(word, [&](uint64_t stem, size_t, std::string_view) { stems.push_back(stem); });
    EXPECT_EQ(stems.size(), 1u) << word;
    return stems.empty() ? 0 : stems.front();
}

TEST(Words, AreRunsOfLettersAndDigits) {
    EXPECT_THAT(words("The red box, (No. 7) holds 2 keys!"),
                ElementsAre("The", "red", "box", "No", "7", "holds", "2", "keys"));
    EXPECT_THAT(words(" \n.,;--"), IsEmpty());
    EXPECT_THAT(words(""), IsEmpty());
}

TEST(Words, KeepInnerMarks) {
    EXPECT_THAT(words("3.14 and 1,000. Anna's 5, 6"),
                ElementsAre("3.14", "and", "1,000", "Anna's", "5", "6"));
    EXPECT_THAT(words("'quoted' 1. 2."), ElementsAre("quoted", "1", "2"));
}

TEST(Words, NamesAreWholeAndInParts) {
    EXPECT_THAT(words("maxRowCount"), ElementsAre("max", "Row", "Count", "maxRowCount"));
    EXPECT_THAT(words("max_row_2 "), ElementsAre("max", "row", "2", "max_row_2"));
    EXPECT_THAT(words("HTTP"), ElementsAre("HTTP"));
}

TEST(Words, OtherScripts) {
    EXPECT_THAT(words("Größe, Ёлка — “naïve”"), ElementsAre("Größe", "Ёлка", "naïve"));
    EXPECT_THAT(words("東京都。x"), ElementsAre("東京", "京都", "x"));
    EXPECT_THAT(words("水 火"), ElementsAre("水", "火"));
    EXPECT_THAT(words("版本v2"), ElementsAre("版本", "v2"));
}

TEST(Words, StemsBringFormsTogether) {
    for (const auto& [a, b] : {std::pair{"box", "Boxes"},
                               {"key", "keys"},
                               {"hold", "holds"},
                               {"hold", "holding"},
                               {"city", "cities"},
                               {"store", "stored"},
                               {"store", "stores"},
                               {"Anna", "Anna's"},
                               {"ABC", "abc"}}) {
        EXPECT_EQ(stem(a), stem(b)) << a << " " << b;
    }
    for (const auto& [a, b] : {std::pair{"box", "fox"},
                               {"7", "8"},
                               {"glass", "gla"},
                               {"1", "1.0"},
                               {"Anna", "Ann"},
                               {"bed", "b"}}) {
        EXPECT_NE(stem(a), stem(b)) << a << " " << b;
    }
}

TEST(Words, AnyBytesAreSafe) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 2000; ++round) {
        std::string text(random() % 30, '\0');
        for (char& c : text) c = static_cast<char>(random() % 4 ? random() % 256 : 'a');
        for (const std::string& word : words(text)) EXPECT_FALSE(word.empty());
    }
}

}  // namespace
}  // namespace spolia
