#include "adapters/openai/prefix_lint.h"

#include <gtest/gtest.h>

#include <string>

#include <nlohmann/json.hpp>

#include "adapters/openai/text_marks.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

const std::string kRest(400, 'r');

std::string chat(const std::string& system, const std::string& user, Json tools = nullptr) {
    Json body = {
        {"model", "m"},
        {"messages",
         {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}}}};
    if (!tools.is_null()) body["tools"] = std::move(tools);
    return body.dump();
}

std::string parts(const std::vector<std::string>& texts) {
    Json content = Json::array();
    for (const std::string& text : texts) content.push_back({{"type", "text"}, {"text", text}});
    return Json{{"messages", {{{"role", "user"}, {"content", content}}}}}.dump();
}

PrefixLint lint(const std::string& before, const std::string& body) {
    const Result<LintPrompt> a = LintPrompt::read(before), b = LintPrompt::read(body);
    EXPECT_TRUE(a.ok() && b.ok());
    return lint_prefix(*a, *b);
}

PrefixBreak kind_of(const std::string& was, const std::string& is) {
    return lint(chat("Rules. " + was + " " + kRest, "q"), chat("Rules. " + is + " " + kRest, "q"))
        .kind;
}

TEST(PrefixLintTest, SaysWhichByteBrokeWhat) {
    const PrefixLint found = lint(chat("Today is 2026-11-20." + kRest, "Who?"),
                                  chat("Today is 2026-11-21." + kRest, "Who?"));
    EXPECT_EQ(found.kind, PrefixBreak::kTimestamp);
    EXPECT_EQ(found.path, "messages[0].content");
    EXPECT_EQ(found.offset, 18u);
    EXPECT_EQ(found.was, "day is 2026-11-20.rrrrrrrrrrrrrr");
    EXPECT_EQ(found.is, "day is 2026-11-21.rrrrrrrrrrrrrr");
    EXPECT_EQ(found.shared_bytes, 1 + 6 + 18u);
    EXPECT_EQ(found.lost_bytes, 401 + 4 + 4u);
    EXPECT_NE(advice(found.kind), "");
}

TEST(PrefixLintTest, ALongerConversationBreaksNothing) {
    Json longer = Json::parse(chat("Rules.", "Who?"));
    longer["messages"].push_back({{"role", "assistant"}, {"content", "Me."}});
    longer["messages"].push_back({{"role", "user"}, {"content", "Why?"}});
    const PrefixLint found = lint(chat("Rules.", "Who?"), longer.dump());
    EXPECT_EQ(found.kind, PrefixBreak::kNone);
    EXPECT_EQ(found.shared_bytes, 1 + 6 + 6 + 4 + 4u);
    EXPECT_EQ(found.lost_bytes, 0u);
    EXPECT_EQ(lint(longer.dump(), chat("Rules.", "Who?")).kind, PrefixBreak::kNone);
}

TEST(PrefixLintTest, HowAPromptIsWrittenBreaksNothing) {
    const std::string body = chat("R\u00e9gles.", "Who?");
    EXPECT_EQ(lint(body, Json::parse(body).dump(2, ' ', true)).kind, PrefixBreak::kNone);
}

TEST(PrefixLintTest, GuessesTheKindFromTheText) {
    EXPECT_EQ(kind_of("It is 12:30:01.", "It is 12:31:07."), PrefixBreak::kTimestamp);
    EXPECT_EQ(kind_of("Now: 1763683200", "Now: 1763683260"), PrefixBreak::kTimestamp);
    EXPECT_EQ(kind_of("It is Friday, November 20", "It is Friday, November 21"),
              PrefixBreak::kTimestamp);
    EXPECT_EQ(kind_of("id 3f2b8c1a-77d0-4f0e-9c1b-0a1b2c3d4e5f",
                      "id 9a0c1d2e-12ab-4c3d-8e9f-5f4e3d2c1b0a"),
              PrefixBreak::kRandomId);
    EXPECT_EQ(kind_of("session-x81k2m9q4z", "session-p07h3n6w2b"), PrefixBreak::kRandomId);
    EXPECT_EQ(kind_of("one  space", "one space"), PrefixBreak::kWhiteSpace);
    EXPECT_EQ(kind_of("Be kind.", "Be brief."), PrefixBreak::kNewText);
    EXPECT_EQ(kind_of("You have 5 tries.", "You have 6 tries."), PrefixBreak::kNewText);
}

TEST(PrefixLintTest, TellsToolsOrderFromToolsKeysFromOtherTools) {
    const Json a = {{"type", "function"}, {"function", {{"name", "a"}}}};
    const Json a_keys = {{"function", {{"name", "a"}}}, {"type", "function"}};
    const Json b = {{"type", "function"}, {"function", {{"name", "b"}}}};
    const auto kind = [](const Json& was, const Json& is) {
        return lint(chat("Rules.", "q", was), chat("Rules.", "q", is)).kind;
    };
    EXPECT_EQ(kind({a, b}, {b, a}), PrefixBreak::kToolOrder);
    EXPECT_EQ(kind({a, b}, {a_keys, b}), PrefixBreak::kKeyOrder);
    EXPECT_EQ(kind({a, b}, {b, a_keys}), PrefixBreak::kToolOrder);
    EXPECT_EQ(kind(Json::array({a}), Json::array({b})), PrefixBreak::kTools);
    EXPECT_EQ(kind(nullptr, Json::array({b})), PrefixBreak::kTools);
}

TEST(PrefixLintTest, SeesDocumentsThatMoved) {
    const std::string a = "First document. " + kRest, b = "Second document. " + kRest;
    const PrefixLint in_parts =
        lint(parts({"Read.", a, b, "Who?"}), parts({"Read.", b, a, "When?"}));
    EXPECT_EQ(in_parts.kind, PrefixBreak::kDocumentOrder);
    EXPECT_EQ(in_parts.path, "messages[0].content[1].text");
    // The two documents, and the end of the one that stands where the other stood.
    EXPECT_GE(in_parts.lost_bytes, a.size() + b.size());
    const auto one_text = [](const std::string& text) { return chat("Rules.", text); };
    EXPECT_EQ(lint(one_text("Read.\n\n" + a + "\n\n" + b + "\n\nWho?"),
                   one_text("Read.\n\n" + b + "\n\n" + a + "\n\nWhy?"))
                  .kind,
              PrefixBreak::kDocumentOrder);
}

TEST(PrefixLintTest, ModelsShareNothing) {
    const PrefixLint found =
        lint(R"({"model":"m","prompt":"x"})", R"({"model":"mm","prompt":"x"})");
    EXPECT_EQ(found.kind, PrefixBreak::kModel);
    EXPECT_EQ(found.path, "model");
}

TEST(PrefixLintTest, CutsNoCharacterInTwo) {
    const PrefixLint found = lint(R"({"prompt":"a\u00e9"})", R"({"prompt":"a\u00e8"})");
    EXPECT_EQ(found.offset, 1u);
    EXPECT_EQ(found.is, "a\u00e8");
}

TEST(PrefixLintTest, RefusesWhatIsNotJson) { EXPECT_FALSE(LintPrompt::read("{").ok()); }

TEST(PrefixLintTest, MarksAreFoundAtEveryByteOfThem) {
    const std::string stamp = "2026-11-20T12:30:01";
    for (size_t at = 0; at < stamp.size(); ++at)
        EXPECT_TRUE(timestamp_at("at " + stamp + " now", at + 3));
    EXPECT_FALSE(timestamp_at("", 0));
    EXPECT_FALSE(timestamp_at("no time", 3));
    EXPECT_FALSE(random_id_at("some-long-words-without-digits", 7));
    EXPECT_TRUE(random_id_at("deadbeef01", 4));
    EXPECT_FALSE(random_id_at("", 0));
}

}  // namespace
}  // namespace spolia
