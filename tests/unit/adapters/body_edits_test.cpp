#include "adapters/openai/body_edits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include <nlohmann/json.hpp>

#include "adapters/openai/request_editor.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

template <class Edit>
std::string edited(const std::string& body, const Edit& edit) {
    const Result<ByteRange> root = json_document(body);
    EXPECT_TRUE(root.ok()) << body;
    std::vector<BodyEdit> edits;
    edit(*root, edits);
    return apply_edits(body, std::move(edits));
}

std::string without(const std::string& body) {
    return edited(body,
                  [&](ByteRange root, auto& edits) { remove_member(body, root, "spolia", edits); });
}

std::string with_sorted_tools(const std::string& body) {
    return edited(body, [&](ByteRange root, auto& edits) { sort_tools(body, root, edits); });
}

std::string separated(const std::string& body) {
    return edited(
        body, [&](ByteRange root, auto& edits) { insert_separators(body, root, " # # ", edits); });
}

std::optional<std::string> edit(const std::string& body, const RequestEditOptions& options,
                                std::string_view cache_salt = "") {
    return RequestEditor(options).edit(body, *json_document(body), cache_salt);
}

TEST(BodyEditsTest, MembersGoWithOneComma) {
    EXPECT_EQ(without(R"({"spolia":{"a":1}})"), "{}");
    EXPECT_EQ(without(R"({ "spolia" : 1 , "b":1.0 })"), R"({ "b":1.0 })");
    EXPECT_EQ(without(R"({"a": 1e2,  "spolia": [] ,"b":2})"), R"({"a": 1e2 ,"b":2})");
    EXPECT_EQ(without(R"({"a":1, "spolia":null})"), R"({"a":1})");
    EXPECT_EQ(without(R"({"spolia":1,"spolia":2,"a":1,"\u0073polia":3,"spolia":4})"), R"({"a":1})");
    EXPECT_EQ(without(R"({"spolia":1, "spolia":2})"), "{}");
    EXPECT_EQ(without(R"({"a":{"spolia":1}})"), R"({"a":{"spolia":1}})");
}

TEST(BodyEditsTest, ToolsAreSortedByNameAndKeys) {
    const std::string tool_a =
        R"({"function":{"name":"a","parameters":{"properties":{"x":{},"y":{}}}},)"
        R"("type":"function"})";
    const std::string tool_b = R"({"function":{"name":"b"},"type":"function"})";
    const std::string sorted =
        "{\"n\": 1.50, \"tools\" : [" + tool_a + "," + tool_b + "] , \"z\":1}";
    EXPECT_EQ(with_sorted_tools(
                  R"({"n": 1.50, "tools" : [ {"type":"function","function":{"name":"b"}}, )"
                  R"({"type":"function","function":)"
                  R"({"parameters":{"properties":{"y":{},"x":{ }}},"name":"a"}}] , "z":1})"),
              sorted);
    EXPECT_EQ(with_sorted_tools(sorted), sorted);
    EXPECT_EQ(with_sorted_tools(R"({"tools":"none"})"), R"({"tools":"none"})");
}

TEST(BodyEditsTest, SeparatorsStandBetweenPartsOnce) {
    const std::string once =
        separated(R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"} , )"
                  R"({"type":"text","text":"b"}]},{"role":"user","content":"c"}]})");
    EXPECT_EQ(once, R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
                    R"({"type":"text","text":" # # "} , {"type":"text","text":"b"}]},)"
                    R"({"role":"user","content":"c"}]})");
    EXPECT_EQ(separated(once), once);
}

TEST(BodyEditsTest, NothingToDoLeavesTheBody) {
    EXPECT_EQ(edit(R"({"model":"m","messages":[]})", {true, true, "|", true}), std::nullopt);
    EXPECT_EQ(edit("[1]", {true, true, "|", true}, "salt"), std::nullopt);
}

TEST(BodyEditsTest, TheSaltStandsThereOnceAndForAll) {
    EXPECT_EQ(edit(R"({ "a":1})", {}, "5a"), R"({"cache_salt":"5a", "a":1})");
    EXPECT_EQ(edit("{}", {}, "5a"), R"({"cache_salt":"5a"})");
    EXPECT_EQ(edit(R"({"spolia":{}})", {}, "5a"), R"({"cache_salt":"5a"})");
    EXPECT_EQ(edit(R"({"spolia":{},"a":1})", {}, "5a"), R"({"cache_salt":"5a","a":1})");
    EXPECT_EQ(edit(R"({"a":1, "cache_salt":"own"})", {}, "5a"), R"({"a":1, "cache_salt":"5a"})");
    EXPECT_EQ(edit(R"({"cache_salt":1,"cache_salt" : "own"})", {}, "5a"),
              R"({"cache_salt":"5a","cache_salt" : "5a"})");
}

TEST(BodyEditsTest, ASaltTellsTenantsApartAndNamesNone) {
    const std::string salt = tenant_cache_salt("team", "", "secret");
    EXPECT_EQ(salt, tenant_cache_salt("team", "", "secret"));
    EXPECT_NE(salt, tenant_cache_salt("team", "", "other"));
    EXPECT_NE(salt, tenant_cache_salt("maet", "", "secret"));
    EXPECT_EQ(salt.find("team"), salt.npos);
    const std::string own = tenant_cache_salt("team", "own", "secret");
    EXPECT_NE(own, salt);
    EXPECT_NE(own, tenant_cache_salt("maet", "own", "secret"));
    EXPECT_EQ(own.find("own"), own.npos);
}

TEST(BodyEditsTest, TheRestStaysByteForByte) {
    const std::string body =
        "\n{ \"temperature\" : 0.10 , "
        "\"spolia\":{\"fidelity\":\"exact\"},\"seed\":12345678901234567890,"
        "\"x\\u0061\": \"\\u00e9\",\"tools\":[]  }\n";
    EXPECT_EQ(edit(body, {true, true, "|", true}, "5a"),
              "\n{\"cache_salt\":\"5a\", \"temperature\" : 0.10,\"seed\":12345678901234567890,"
              "\"x\\u0061\": \"\\u00e9\",\"tools\":[]  }\n");
}

// All edits at once, on random bodies, against edits of a parsed tree.
TEST(BodyEditsTest, GivesWhatEditsOfATreeWould) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 3000; ++i) {
        Json body = Json::object();
        for (size_t n = random() % 6; n > 0; --n) {
            const std::string name =
                std::array{"a", "spolia", "cache_salt", "b", "user"}[random() % 5];
            body[name] = random() % 2 == 0 ? Json(random() % 100) : Json("x");
        }
        if (random() % 2 == 0) {
            for (size_t n = random() % 4; n > 0; --n) {
                body["tools"].push_back(
                    {{"z", n}, {"function", {{"name", std::string(1, "abc"[random() % 3])}}}});
            }
        }
        for (size_t n = random() % 3; n > 0; --n) {
            Json content = Json::array();
            for (size_t parts = random() % 4; parts > 0; --parts) {
                content.push_back({{"type", "text"}, {"text", std::string(1, "pq"[random() % 2])}});
            }
            body["messages"].push_back({{"role", "user"}, {"content", content}});
        }
        Json expected = body;
        expected.erase("spolia");
        expected["cache_salt"] = "5a";
        if (expected.contains("tools") && expected["tools"].is_array()) {
            auto& tools = expected["tools"];
            std::sort(tools.begin(), tools.end(), [](const Json& a, const Json& b) {
                return std::pair(a["function"]["name"], nlohmann::json(a).dump()) <
                       std::pair(b["function"]["name"], nlohmann::json(b).dump());
            });
        }
        if (expected.contains("messages")) {
            for (Json& message : expected["messages"]) {
                Json content = Json::array();
                for (const Json& part : message["content"]) {
                    if (!content.empty()) content.push_back({{"type", "text"}, {"text", "|"}});
                    content.push_back(part);
                }
                message["content"] = content;
            }
        }
        const std::string text = random() % 2 == 0 ? body.dump() : body.dump(1);
        const std::string out = edit(text, {true, false, "|", true}, "5a").value_or(text);
        ASSERT_EQ(nlohmann::json::parse(out), nlohmann::json(expected)) << text;
    }
}

}  // namespace
}  // namespace spolia
