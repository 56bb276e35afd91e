#include "index/separators.h"

#include <gtest/gtest.h>

#include <string>

namespace spolia {
namespace {

std::vector<std::string> separators_of(std::string_view text) {
    std::vector<std::string> found;
    for (const TextRange& range : find_separators(text)) {
        found.emplace_back(text.substr(range.begin, range.end - range.begin));
    }
    return found;
}

using Strings = std::vector<std::string>;

TEST(SeparatorsTest, FindsRules) {
    EXPECT_EQ(separators_of("First text.\n---\nSecond\n\n=====\nThird"), (Strings{"---", "====="}));
    EXPECT_EQ(separators_of("a.\n--- part 2 ---\nb"), (Strings{"--- part 2 ---"}));
    EXPECT_EQ(separators_of("a.\r\n***\r\nb"), (Strings{"***"}));
}

TEST(SeparatorsTest, LeavesRulesThatUnderlineTitles) {
    EXPECT_EQ(separators_of("Title\n=====\ntext\n\nSection\n---\ntext"), Strings{});
}

TEST(SeparatorsTest, LeavesOtherLinesOfMarks) {
    EXPECT_EQ(separators_of("a\n--\n```\n| --- | --- |\n--- a/file.c\n- - -\n"), Strings{});
}

TEST(SeparatorsTest, FindsTagsOfDocuments) {
    EXPECT_EQ(separators_of("<documents>\n<document index=\"1\">\nText\n</document>\n</documents>"),
              (Strings{"<documents>", "<document index=\"1\">", "</document>", "</documents>"}));
    EXPECT_EQ(separators_of("<doc>one</doc> <doc>two</doc>"),
              (Strings{"<doc>", "</doc>", "<doc>", "</doc>"}));
}

TEST(SeparatorsTest, LeavesTagsOfOtherThings) {
    EXPECT_EQ(separators_of("<p>text</p>\n<docx>\n<doc\nuse <doc> here\nstd::vector<document> x;"),
              Strings{});
    EXPECT_EQ(separators_of("<doc " + std::string(5000, 'x') + ">"), Strings{});
}

TEST(SeparatorsTest, FindsNumberedLabels) {
    EXPECT_EQ(
        separators_of("Document 3: text\n[1] text\nSource #2. text\nDocument [4](Title) text"),
        (Strings{"Document 3:", "[1]", "Source #2.", "Document [4]"}));
    EXPECT_EQ(separators_of("[Document 12]\npassage 7\n[3]: x"),
              (Strings{"[Document 12]", "passage 7", "[3]:"}));
}

TEST(SeparatorsTest, LeavesTextThatLooksLikeLabels) {
    EXPECT_EQ(separators_of("Document 3 says so\nin [1] text\n[12345] x\n[1]x\n1. item\n(1) item\n"
                            "Documents: 3\nChapter 3: x\n[x] done\n[ ] open\nfile"),
              Strings{});
}

TEST(SeparatorsTest, TakesAnyBytes) {
    const std::string bytes("\0\xff\xfe<\0/doc>\n</doc>\xe3\x80", 17);
    EXPECT_EQ(separators_of(bytes), (Strings{"</doc>"}));
    EXPECT_EQ(separators_of(""), Strings{});
    EXPECT_EQ(separators_of(std::string(10'000, '<')), Strings{});
}

}  // namespace
}  // namespace spolia
