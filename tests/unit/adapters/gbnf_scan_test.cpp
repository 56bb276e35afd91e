#include "adapters/llama/gbnf_scan.h"

#include <gtest/gtest.h>

namespace spolia {
namespace {

TEST(GbnfScan, FindsNothingWrongWithGoodGrammars) {
    for (const char* grammar : {
             "root ::= \"a\"",
             "root ::= (\"a\" | b)* # (not this\nb ::= [^)\"\\]] . \"\\\"(\"",
             "root ::= a{2,3} <tool> !<[7]>\na ::= [a-z0-9-]+\n",
             "root ::=\n  \"x\" |\n  item-1\nitem-1 ::= \"y\"",
         }) {
        EXPECT_EQ(gbnf_problem(grammar), std::nullopt) << grammar;
    }
}

TEST(GbnfScan, NamesTheProblem) {
    EXPECT_EQ(gbnf_problem(""), "it has no rule 'root'");
    EXPECT_EQ(gbnf_problem("main ::= \"a\""), "it has no rule 'root'");
    EXPECT_EQ(gbnf_problem("root ::= other"), "rule 'other' is used but not defined");
    EXPECT_EQ(gbnf_problem("root ::= (\"a\""), "there is an unclosed '('");
    EXPECT_EQ(gbnf_problem("root ::= \"a\"\n  | \"b\")"), "there is a ')' without '(' in line 2");
    EXPECT_EQ(gbnf_problem("root ::= b\nb ::= \"a"), "the string begun in line 2 has no end");
    EXPECT_EQ(gbnf_problem("root ::= [a"), "the character class begun in line 1 has no end");
    EXPECT_EQ(gbnf_problem("root ::= \"a\\"), "the string begun in line 1 has no end");
}

TEST(GbnfScan, CountsNesting) {
    EXPECT_EQ(gbnf_depth("root ::= \"(((\" [(]"), 0);
    EXPECT_EQ(gbnf_depth("root ::= ((\"a\") (\"b\"))"), 2);
    EXPECT_EQ(gbnf_depth("root ::= " + std::string(1000, '(')), 1000);
}

}  // namespace
}  // namespace spolia
