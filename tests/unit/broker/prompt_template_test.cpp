#include "spolia/prompt_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace spolia {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(PromptTemplate, EachFillingIsAPartOfItsOwn) {
    const auto made = PromptTemplate::parse("Read {draft} and {facts}, then {draft} again.");
    ASSERT_TRUE(made.ok()) << made.error().message;
    EXPECT_THAT(made->placeholders(), ElementsAre("draft", "facts"));
    const auto message = made->fill("user", {{"draft", "D"}, {"facts", "F"}});
    ASSERT_TRUE(message.ok()) << message.error().message;
    EXPECT_EQ(message->role, "user");
    EXPECT_THAT(message->parts, ElementsAre("Read ", "D", " and ", "F", ", then ", "D", " again."));
}

TEST(PromptTemplate, AnEmptyFillingIsNoPart) {
    const auto message =
        PromptTemplate::parse("{a}{b}").value().fill("user", {{"a", ""}, {"b", "B"}});
    EXPECT_THAT(message->parts, ElementsAre("B"));
}

TEST(PromptTemplate, FillingsAreTakenAsTheyAre) {
    const auto message = PromptTemplate::parse("{a}").value().fill("tool", {{"a", "{b} }}"}});
    EXPECT_THAT(message->parts, ElementsAre("{b} }}"));
}

TEST(PromptTemplate, BracesCanBeWritten) {
    const auto made = PromptTemplate::parse("{{\"a\": {a}}}, }}{{").value();
    EXPECT_THAT(made.fill("user", {{"a", "1"}})->parts, ElementsAre("{\"a\": ", "1", "}, }{"));
}

TEST(PromptTemplate, SaysWhereItIsWrong) {
    for (const auto& [text, what] : {std::pair("ab {c", "character 4: a '{' without"),
                                     std::pair("ab} c", "character 3: a '}' without"),
                                     std::pair("{}", "character 1: '' is no name"),
                                     std::pair("x {a b}", "character 3: 'a b' is no name")}) {
        const auto made = PromptTemplate::parse(text);
        ASSERT_FALSE(made.ok()) << text;
        EXPECT_THAT(made.error().message, HasSubstr(what));
        EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument);
    }
}

TEST(PromptTemplate, WantsAValueForEachPlaceholder) {
    const PromptTemplate made = PromptTemplate::parse("{a} {b}").value();
    EXPECT_THAT(made.fill("user", {{"a", "1"}}).error().message, HasSubstr("'b' has no value"));
    EXPECT_THAT(made.fill("user", {{"a", "1"}, {"b", "2"}, {"c", "3"}}).error().message,
                HasSubstr("no placeholder 'c'"));
}

}  // namespace
}  // namespace spolia
