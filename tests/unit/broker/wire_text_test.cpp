#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/wire/chunk_requests.h"
#include "broker/wire/status.h"
#include "broker/wire/text_requests.h"
#include "tests/unit/broker/fake_text_model.h"

namespace spolia {
namespace {

using Json = nlohmann::json;

TEST(WireText, TokenizesAsLlamaServerDoes) {
    const testing::FakeTextModel model;
    const auto plain = tokenize_response(R"({"content":"ab"})", model, {});
    ASSERT_TRUE(plain.ok());
    EXPECT_EQ(*plain, R"({"tokens":[97,98]})");
    const auto special = tokenize_response(R"({"content":"a","add_special":true})", model, {});
    ASSERT_TRUE(special.ok());
    EXPECT_EQ(*special, R"({"tokens":[256,97]})");
    // Half of a character is written as its bytes.
    const auto pieces = tokenize_response(R"({"content":"aá","with_pieces":true})", model, {});
    ASSERT_TRUE(pieces.ok());
    EXPECT_EQ(*pieces, R"({"tokens":[{"id":97,"piece":"a"},{"id":195,"piece":[195]},)"
                       R"({"id":161,"piece":[161]}]})");
}

TEST(WireText, DetokenizesAsLlamaServerDoes) {
    const testing::FakeTextModel model;
    const auto text = detokenize_response(R"({"tokens":[256,97,98]})", model, {});
    ASSERT_TRUE(text.ok());
    EXPECT_EQ(*text, R"({"content":"ab"})");
}

TEST(WireText, RefusesWrongBodies) {
    const testing::FakeTextModel model;
    for (const char* body : {"{}", R"({"content":1})", R"({"content":"a","add_special":1})"}) {
        EXPECT_FALSE(tokenize_response(body, model, {}).ok()) << body;
    }
    for (const char* body : {"{}", R"({"tokens":"a"})", R"({"tokens":[257]})", R"({"tokens":[-1]})",
                             R"({"tokens":["a"]})"}) {
        EXPECT_FALSE(detokenize_response(body, model, {}).ok()) << body;
    }
}

TEST(WireText, ReadsChunksToPut) {
    const auto one = parse_put_chunks(R"({"text":"a","name":"n","cache_salt":"s"})", {});
    ASSERT_TRUE(one.ok());
    EXPECT_EQ(one->texts, std::vector<std::string>{"a"});
    EXPECT_EQ(one->name, "n");
    EXPECT_EQ(one->cache_salt, "s");
    const auto two = parse_put_chunks(R"({"texts":["a","b"]})", {});
    ASSERT_TRUE(two.ok());
    EXPECT_EQ(two->texts, (std::vector<std::string>{"a", "b"}));
}

TEST(WireText, RefusesWrongChunks) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({})", "text"},
        {R"({"text":""})", "text"},
        {R"({"text":1})", "text"},
        {R"({"text":"a","texts":["b"]})", "text"},
        {R"({"texts":[]})", "texts"},
        {R"({"texts":[1]})", "texts"},
        {R"({"texts":["a",""]})", "texts"},
        {R"({"text":"a","name":1})", "name"},
        {R"({"text":"a","nam":"n"})", "nam"},
        {R"({"txt":"a"})", "txt"},
    };
    for (const auto& [body, param] : cases) {
        const auto put = parse_put_chunks(body, {});
        ASSERT_FALSE(put.ok()) << body;
        EXPECT_EQ(put.error().param, param) << body;
    }
}

TEST(WireText, WritesPlansAndChunks) {
    PlanPreview plan;
    const Key128 key{1, 2};
    plan.parts = {{SegmentRole::kFixed, {0, 3}, "exact", "", {}},
                  {SegmentRole::kChunk, {3, 9}, "compute", "first_sight", key}};
    plan.policy = "epic";
    plan.dense_ms = 12.5;
    const Json json = Json::parse(plan_json(plan));
    EXPECT_EQ(json["policy"], "epic");
    EXPECT_EQ(json["dense_ms"], 12.5);
    EXPECT_EQ(json["parts"][0],
              (Json{{"role", "fixed"}, {"begin", 0}, {"end", 3}, {"action", "exact"}}));
    EXPECT_EQ(json["parts"][1]["reason"], "first_sight");
    EXPECT_EQ(json["parts"][1]["key"], key.hex());

    ChunkInfo info;
    info.key = key;
    info.n_tokens = 6;
    info.tier = "disk";
    const Json chunk = Json::parse(chunk_json(info));
    EXPECT_EQ(chunk["key"], key.hex());
    EXPECT_EQ(chunk["tokens"], 6);
    EXPECT_EQ(chunk["tier"], "disk");
}

}  // namespace
}  // namespace spolia
