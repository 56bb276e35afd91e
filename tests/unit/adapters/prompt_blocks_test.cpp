#include "adapters/openai/prompt_blocks.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include <nlohmann/json.hpp>

#include "adapters/openai/prompt_pieces.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

std::vector<Key128> keys(const std::string& body, std::string_view tenant = "",
                         const PromptBlockOptions& options = {16, 4096}) {
    const Result<ByteRange> root = json_document(body);
    EXPECT_TRUE(root.ok()) << body;
    return prompt_blocks(body, *root, tenant, options);
}

size_t shared(const std::vector<Key128>& a, const std::vector<Key128>& b) {
    size_t n = 0;
    while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
    for (size_t i = n; i < a.size(); ++i) {
        for (size_t j = 0; j < b.size(); ++j) EXPECT_NE(a[i], b[j]);
    }
    return n;
}

TEST(PromptBlocksTest, PiecesComeInTheOrderOfPrompts) {
    const std::string body =
        R"({"messages":[{"content":"hi","role":"user","name":"n"},)"
        R"({"role":"assistant","content":null,"tool_calls":[ {"id":"x"} ]},)"
        R"({"role":"tool","tool_call_id":"x","content":[{"type":"text","text":"t\n"},)"
        R"({"type":"image"}]}],)"
        R"("temperature":1,"tools":[{"type":"function"}],"model":"m"})";
    std::string listed;
    for (const PromptPiece& piece : prompt_pieces(body, *json_document(body))) {
        listed += piece_path(piece) + "=";
        append_piece_text(body, piece, listed);
        listed += ";";
    }
    EXPECT_EQ(listed,
              "model=m;tools[0]={\"type\":\"function\"};messages[0].role=user;messages[0].name=n;"
              "messages[0].content=hi;messages[1].role=assistant;"
              "messages[1].tool_calls=[{\"id\":\"x\"}];messages[2].role=tool;"
              "messages[2].content[0].text=t\n;messages[2].content[1]={\"type\":\"image\"};"
              "messages[2].tool_call_id=x;");
}

TEST(PromptBlocksTest, OnlyThePromptCounts) {
    const auto a = keys(R"({"model":"m","messages":[{"role":"user","content":"h\u00e9 there"}]})");
    const auto b = keys(
        "{\"temperature\":0.5, \"messages\": [ {\"content\":\"h\u00e9 there\","
        "\"role\":\"user\"} ], \"model\":\"m\", \"user\":\"x\"}");
    EXPECT_FALSE(a.empty());
    EXPECT_EQ(a, b);
}

TEST(PromptBlocksTest, WhatBelongsToWhomIsTold) {
    const auto a = keys(R"({"messages":[{"role":"user","content":"ab"}]})");
    EXPECT_NE(a, keys(R"({"messages":[{"role":"usera","content":"b"}]})"));
    EXPECT_NE(a, keys(R"({"messages":[{"role":"user","name":"ab"}]})"));
    EXPECT_NE(a, keys(R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
                      R"({"type":"text","text":"b"}]}]})"));
}

TEST(PromptBlocksTest, TenantsAndModelsShareNothing) {
    const std::string body = R"({"model":"m","prompt":"a prompt that is longer than a block"})";
    EXPECT_EQ(shared(keys(body, "a"), keys(body, "b")), 0u);
    EXPECT_EQ(shared(keys(body),
                     keys(R"({"model":"n","prompt":"a prompt that is longer than a block"})")),
              0u);
}

TEST(PromptBlocksTest, LongPromptsAreCutAtTheBound) {
    const std::string text(1000, 'x');
    const auto all = keys(R"({"prompt":")" + text + "\"}");
    EXPECT_EQ(all.size(), (1000 + 2 + 15) / 16);
    const auto front = keys(R"({"prompt":")" + text + "\"}", "", {16, 10});
    ASSERT_EQ(front.size(), 10u);
    EXPECT_EQ(shared(all, front), 10u);
}

TEST(PromptBlocksTest, NoPromptNoKeys) {
    EXPECT_TRUE(keys("{}").empty());
    EXPECT_TRUE(keys("[1,2]").empty());
    EXPECT_TRUE(keys(R"({"messages":7,"tools":"x"})").empty());
}

// The prompt's bytes as the header describes them, cut by hand.
std::vector<std::string> naive_blocks(const Json& messages, size_t block_bytes) {
    std::string bytes;
    for (const Json& message : messages) {
        bytes +=
            "\xFF"
            "C" +
            message["role"].get<std::string>();
        bytes +=
            "\xFF"
            "E" +
            message["content"].get<std::string>();
    }
    std::vector<std::string> blocks;
    for (size_t at = 0; at < bytes.size(); at += block_bytes) {
        blocks.push_back(bytes.substr(at, block_bytes));
    }
    return blocks;
}

TEST(PromptBlocksTest, RequestsShareKeysWhereTheirBlocksAreEqual) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto conversation = [&](Json messages) {
        for (size_t n = random() % 4; n > 0; --n) {
            messages.push_back({{"role", random() % 2 == 0 ? "user" : "assistant"},
                                {"content", std::string(random() % 40, "ab"[random() % 2])}});
        }
        return messages;
    };
    for (int i = 0; i < 2000; ++i) {
        const size_t block_bytes = 1 + random() % 40;
        const Json common = conversation(Json::array());
        const Json one = conversation(common), other = conversation(common);
        const auto blocks = naive_blocks(one, block_bytes),
                   others = naive_blocks(other, block_bytes);
        size_t expected = 0;
        while (expected < blocks.size() && expected < others.size() &&
               blocks[expected] == others[expected]) {
            ++expected;
        }
        const PromptBlockOptions options = {block_bytes, 4096};
        const auto a = keys(Json{{"messages", one}}.dump(), "t", options);
        const auto b = keys(Json{{"messages", other}}.dump(2), "t", options);
        ASSERT_EQ(a.size(), blocks.size());
        ASSERT_EQ(shared(a, b), expected) << one << other;
    }
}

}  // namespace
}  // namespace spolia
