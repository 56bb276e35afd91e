#include "adapters/openai/json_ranges.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include <nlohmann/json.hpp>

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

std::string as_string(std::string_view text) {
    const Result<ByteRange> value = json_document(text);
    return value.ok() ? json_string(text, *value) : value.error().message;
}

std::string sorted(std::string_view text) { return sorted_json(text, *json_document(text)); }

TEST(JsonRangesTest, GivesTheBytesOfMembersAndItems) {
    const std::string text = R"( { "a" : [1, "]", {"b":"\"}"}] ,"c":-1.5e+3 } )";
    const Result<ByteRange> root = json_document(text);
    ASSERT_TRUE(root.ok()) << root.error().message;
    const std::vector<JsonMember> members = json_members(text, *root);
    ASSERT_EQ(members.size(), 2u);
    EXPECT_EQ(slice(text, members[0].key), "\"a\"");
    EXPECT_EQ(slice(text, members[0].value), R"([1, "]", {"b":"\"}"}])");
    EXPECT_EQ(slice(text, members[1].value), "-1.5e+3");
    const std::vector<ByteRange> items = json_items(text, members[0].value);
    ASSERT_EQ(items.size(), 3u);
    EXPECT_EQ(slice(text, items[1]), R"("]")");
    EXPECT_EQ(slice(text, items[2]), R"({"b":"\"}"})");
}

TEST(JsonRangesTest, OfSeveralMembersOfANameTheLastCounts) {
    const std::string text = R"({"a":1,"\u0061":2,"b":3})";
    const std::optional<ByteRange> value = json_member(text, *json_document(text), "a");
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(slice(text, *value), "2");
    EXPECT_FALSE(json_member(text, *json_document(text), "c").has_value());
}

TEST(JsonRangesTest, DecodesStrings) {
    EXPECT_EQ(as_string(R"("a\n\"\\\/\u00e9\ud83d\ude00z")"), "a\n\"\\/\u00e9\U0001F600z");
    EXPECT_EQ(as_string("\"\\u0000\""), std::string(1, '\0'));
}

TEST(JsonRangesTest, QuotesWhatItDecodes) {
    const std::string text = std::string("tab\t quote\" back\\ nul\0 ", 23) + "\u00e9\x1f";
    EXPECT_EQ(as_string(quoted_json(text)), text);
}

TEST(JsonRangesTest, SortsKeysAtEveryDepthAndKeepsLists) {
    EXPECT_EQ(sorted(R"({ "b": [ 2, 1, {"z":1.50,"y":{ }} ], "a": [ ] })"),
              R"({"a":[],"b":[2,1,{"y":{},"z":1.50}]})");
}

TEST(JsonRangesTest, RefusesDepthAndSaysWhere) {
    const std::string deep(65, '[');
    const Result<ByteRange> value = json_document(deep + std::string(65, ']'));
    ASSERT_FALSE(value.ok());
    EXPECT_EQ(value.error().message, "bad JSON at byte 64: values are nested too deep");
    EXPECT_TRUE(json_document(deep.substr(1) + std::string(64, ']')).ok());
}

TEST(JsonRangesTest, RefusesWhatIsNotJson) {
    for (const std::string text : {"",
                                   " ",
                                   "{",
                                   "{\"a\"}",
                                   "{\"a\":}",
                                   "{,}",
                                   "[1,]",
                                   "[1 2]",
                                   "01",
                                   "-",
                                   "1.",
                                   "1e",
                                   ".5",
                                   "+1",
                                   "tru",
                                   "nul",
                                   "\"",
                                   "\"\\x\"",
                                   "\"\\u12g4\"",
                                   "\"\\ud800\"",
                                   "\"\\udc00\"",
                                   "\"\\ud800\\u0041\"",
                                   "\"\n\"",
                                   "\"\xff\"",
                                   "\"\xc0\x80\"",
                                   "\"\xed\xa0\x80\"",
                                   "1 2",
                                   "{\"a\":1}x",
                                   "NaN",
                                   "'a'",
                                   "{a:1}",
                                   "]"}) {
        EXPECT_FALSE(json_document(text).ok()) << text;
    }
}

// A random value as text, with white space anywhere that it may be.
class Generator {
public:
    explicit Generator(uint64_t seed) : random_(seed) {}

    uint64_t below(uint64_t n) { return random_() % n; }

    std::string value(int depth) {
        const uint64_t kind = below(depth > 0 ? 9 : 6);
        std::string text = space();
        if (kind == 0) text += pick({"true", "false", "null"});
        if (kind == 1 || kind == 2) text += pick({"0", "-1", "12.50", "1e5", "-0.1E-2", "9e+1"});
        if (kind >= 3 && kind <= 5) text += string();
        if (kind == 6) text += list(depth, '[', ']');
        if (kind > 6) text += list(depth, '{', '}');
        return text + space();
    }

    // A few bytes changed, taken out or put in.
    std::string damaged(std::string text) {
        for (uint64_t n = 1 + below(3); n > 0 && !text.empty(); --n) {
            const size_t at = below(text.size());
            const char c =
                below(4) == 0 ? static_cast<char>(below(256)) : "{}[]\",:\\u0e-. tn"[below(17)];
            if (below(3) == 0)
                text.erase(at, 1 + below(3));
            else if (below(2) == 0)
                text[at] = c;
            else
                text.insert(at, 1, c);
        }
        return text;
    }

private:
    std::string pick(std::initializer_list<const char*> texts) {
        return texts.begin()[below(texts.size())];
    }
    std::string space() { return below(3) != 0 ? "" : pick({" ", "\n", "\t ", "\r\n"}); }
    std::string string() {
        std::string text = "\"";
        for (uint64_t n = below(6); n > 0; --n) {
            text += pick({"a", "b", "\\\"", "\\\\", "\\n", "\\u00e9", "\\ud83d\\uDE00", "\u00e9",
                          "\U0001F600", "{", "]", ",", ":", "\\/", " "});
        }
        return text + "\"";
    }
    std::string list(int depth, char open, char close) {
        std::string text(1, open);
        const uint64_t n = below(5);
        for (uint64_t i = 0; i < n; ++i) {
            if (i > 0) text += ',';
            if (open == '{') text += space() + string() + space() + ":";
            text += value(depth - 1);
        }
        return text + (n == 0 ? space() : "") + close;
    }

    std::mt19937_64 random_;
};

// What nlohmann's parser makes of it; nullopt where it refuses. It refuses numbers beyond double,
// too, which have a place in the text all the same.
std::optional<Json> reference(const std::string& text, bool& skip) {
    try {
        return Json::parse(text);
    } catch (const Json::out_of_range&) {
        skip = true;
    } catch (const Json::parse_error&) {}
    return std::nullopt;
}

void expect_same(const std::string& text, ByteRange value, const Json& json) {
    ASSERT_EQ(Json::parse(slice(text, value)), json);
    if (json.is_string()) {
        EXPECT_EQ(json_string(text, value), json.get<std::string>());
        EXPECT_EQ(Json::parse(quoted_json(json.get<std::string>())), json);
    }
    std::string minimal;
    append_minimal_json(text, value, minimal);
    EXPECT_EQ(Json::parse(minimal), json);
    // Of two members of one name sorting may swap which is last.
    if (json_members(text, value).size() == json.size() && json.is_object()) {
        for (const auto& [name, member] : json.items()) {
            const std::optional<ByteRange> found = json_member(text, value, name);
            ASSERT_TRUE(found.has_value()) << name;
            expect_same(text, *found, member);
        }
    }
    const std::vector<ByteRange> items = json_items(text, value);
    if (json.is_array()) {
        ASSERT_EQ(items.size(), json.size());
        for (size_t i = 0; i < items.size(); ++i) expect_same(text, items[i], json[i]);
    }
}

TEST(JsonRangesTest, AcceptsAndFindsWhatAParserDoes) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator generator(seed);
    int accepted = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string text = generator.value(4);
        if (i % 2 == 1) text = generator.damaged(text);
        // A byte order mark, and a null byte as the text's end: the parser allows what JSON does
        // not.
        if (text.starts_with("\xef\xbb\xbf") || text.find('\0') != text.npos) continue;
        bool skip = false;
        const std::optional<Json> expected = reference(text, skip);
        if (skip) continue;
        const Result<ByteRange> value = json_document(text);
        ASSERT_EQ(value.ok(), expected.has_value()) << text;
        if (!expected.has_value()) continue;
        ++accepted;
        expect_same(text, *value, *expected);
        if (testing::Test::HasFatalFailure()) FAIL() << text;
    }
    EXPECT_GT(accepted, 10000);
}

}  // namespace
}  // namespace spolia
