#include "index/lines.h"

#include <gtest/gtest.h>

#include <string>

namespace spolia {
namespace {

TEST(LinesTest, SplitsAtEveryLineBreak) {
    const std::string text = "one\r\n\n  two \n\t\nthree";
    const std::vector<Line> lines = split_lines(text);
    ASSERT_EQ(lines.size(), 5u);
    EXPECT_EQ(lines[0].content, "one");
    EXPECT_TRUE(lines[1].blank());
    EXPECT_EQ(lines[2].content, "two");
    EXPECT_EQ(lines[2].begin, 6u);
    EXPECT_EQ(lines[2].content_begin, 8u);
    EXPECT_TRUE(lines[2].indented());
    EXPECT_TRUE(lines[3].blank());
    EXPECT_FALSE(lines[4].indented());
    EXPECT_TRUE(split_lines("").empty());
    EXPECT_EQ(split_lines("\n").size(), 1u);
}

TEST(LinesTest, MeasuresPunctuation) {
    EXPECT_EQ(punctuation_before("end."), 1u);
    EXPECT_EQ(punctuation_before("完。"), 3u);
    EXPECT_EQ(punctuation_before("“so”"), 3u);
    EXPECT_EQ(punctuation_before("word"), 0u);
    EXPECT_EQ(punctuation_before("完"), 0u);
    EXPECT_EQ(punctuation_before("a "), 0u);
    EXPECT_EQ(punctuation_before(""), 0u);
    EXPECT_EQ(punctuation_before("\x80\x82"), 0u);
    EXPECT_EQ(punctuation_after("!x"), 1u);
    EXPECT_EQ(punctuation_after("」x"), 3u);
    EXPECT_EQ(punctuation_after("x!"), 0u);
}

TEST(LinesTest, KnowsHeadingsAndRules) {
    EXPECT_EQ(heading_level("# Title"), 1);
    EXPECT_EQ(heading_level("###### Deep"), 6);
    EXPECT_EQ(heading_level("####### Deeper"), 0);
    EXPECT_EQ(heading_level("#include <x>"), 0);
    EXPECT_EQ(heading_level("###"), 0);
    EXPECT_EQ(rule_mark("---"), '-');
    EXPECT_EQ(rule_mark("======"), '=');
    EXPECT_EQ(rule_mark("--"), '\0');
    EXPECT_EQ(rule_mark("-=-"), '\0');
    EXPECT_EQ(rule_mark("```"), '\0');
}

TEST(LinesTest, TellsTitlesFromSentences) {
    EXPECT_TRUE(looks_like_title("The Salt Road"));
    EXPECT_TRUE(looks_like_title("## What is it?"));
    EXPECT_FALSE(looks_like_title("It ends here."));
    EXPECT_FALSE(looks_like_title("它结束了。"));
    EXPECT_FALSE(looks_like_title(std::string(81, 'x')));
    EXPECT_FALSE(looks_like_title(""));
}

TEST(LinesTest, ARuleBelowALoneTitleUnderlinesIt) {
    EXPECT_TRUE(underlines_title(split_lines("Title\n=====\n"), 1));
    EXPECT_TRUE(underlines_title(split_lines("text.\n\nTitle\n---\n"), 3));
    EXPECT_FALSE(underlines_title(split_lines("It ends here.\n---\n"), 1));
    EXPECT_FALSE(underlines_title(split_lines("two\nlines\n---\n"), 2));
    EXPECT_FALSE(underlines_title(split_lines("---\n"), 0));
    EXPECT_FALSE(underlines_title(split_lines("Title\n***\n"), 1));
}

}  // namespace
}  // namespace spolia
