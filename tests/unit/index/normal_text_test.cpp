#include "index/normal_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace spolia {
namespace {

TEST(NormalText, FoldsCases) {
    EXPECT_EQ(normal_text("The QUICK fox\n"), "the quick fox\n");
    EXPECT_EQ(normal_text("Größe STRASSE"), "grösse strasse");
    EXPECT_EQ(normal_text("ΜΆΪΟΣ"), normal_text("μάϊος"));
    EXPECT_EQ(normal_text(""), "");
}

TEST(NormalText, ComposesLetters) {
    EXPECT_EQ(normal_text("a cafe\xcc\x81 b"), "a caf\xc3\xa9 b");
    EXPECT_EQ(normal_text("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"), "\xed\x95\x9c");  // Hangul
    EXPECT_EQ(normal_text("<\xcc\xb8 b"), "\xe2\x89\xae b");                         // a mark, too
}

TEST(NormalText, ReplacesWhatIsNotUtf8) {
    EXPECT_EQ(normal_text("a\xff b"), "a\xef\xbf\xbd b");
    EXPECT_EQ(normal_text("\xc3"), "\xef\xbf\xbd");
    EXPECT_EQ(normal_text("\xc3\xa9\x80"), "\xc3\xa9\xef\xbf\xbd");
}

TEST(NormalText, TakesPiecesOfAnyLength) {
    std::string text;
    for (int i = 0; i < 20000; ++i) text += "\xe4\xb8\xad";  // a character of three bytes
    EXPECT_EQ(normal_text(text), text);
    EXPECT_EQ(normal_text("A" + text + " B"), "a" + text + " b");
}

TEST(NormalText, IsNormalItself) {
    for (int seed = 0; seed < 300; ++seed) {
        std::mt19937 random(static_cast<uint32_t>(seed));
        std::string text;
        while (text.size() < 200) text += static_cast<char>(random() % 256);
        const std::string once = normal_text(text);
        EXPECT_EQ(normal_text(once), once) << "seed " << seed;
    }
}

}  // namespace
}  // namespace spolia
