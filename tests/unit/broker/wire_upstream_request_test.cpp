#include "broker/wire/upstream_request.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/broker/fake_text_model.h"

namespace spolia {
namespace {

using Json = nlohmann::json;

class WireUpstreamRequest : public ::testing::Test {
protected:
    Parsed<UpstreamRequest> parse(std::string_view body) {
        return parse_upstream_request(body, {text_, {}, "tenant", {}});
    }
    testing::FakeTextModel text_;
};

TEST_F(WireUpstreamRequest, ReadsThePromptAndHowMuchReuseItTakes) {
    const auto request = parse(R"({"model": "any", "n_probs": 5, "logprobs": true,
        "temperature": "hot", "messages": [{"role": "user", "content": "Hello"}],
        "cache_salt": "s", "spolia": {"fidelity": "fast", "policy": "none"}})");
    ASSERT_TRUE(request.ok()) << request.error().message;
    EXPECT_EQ(request->surface, Surface::kChat);
    EXPECT_EQ(request->generate.reuse.fidelity, Fidelity::kFast);
    EXPECT_EQ(request->generate.tenant, "tenant\ns");
    EXPECT_NE(request->generate.prompt.text.find("Hello"), std::string::npos);
    EXPECT_FALSE(request->own_way);
}

TEST_F(WireUpstreamRequest, KnowsPromptsThatCameAsTokens) {
    EXPECT_FALSE(parse(R"({"prompt": "abc"})")->given_ids);
    EXPECT_TRUE(parse(R"({"prompt": [65, 66]})")->given_ids);
    EXPECT_EQ(parse(R"({"prompt": "abc"})")->surface, Surface::kCompletion);
}

TEST_F(WireUpstreamRequest, ReadsWhatThereIsToAskTheServerFor) {
    const auto chat = parse_upstream_prompt(R"({"messages": [], "cache_salt": "s"})", "t", {});
    ASSERT_TRUE(chat.ok());
    EXPECT_EQ(chat->tenant, "t\ns");
    EXPECT_FALSE(chat->text);
    EXPECT_EQ(parse_upstream_prompt(R"({"prompt": "abc"})", "", {})->text, "abc");
    EXPECT_FALSE(parse_upstream_prompt(R"({"prompt": [1]})", "", {}).ok());
    EXPECT_FALSE(parse_upstream_prompt("{", "", {}).ok());
}

TEST_F(WireUpstreamRequest, LeavesItsWayToTheClient) {
    for (const char* body :
         {R"({"prompt": "a", "id_slot": 2})", R"({"prompt": "a", "cache_prompt": false})",
          R"({"prompt": "a", "n": 2})", R"({"prompt": "a", "n_cmpl": 3})",
          R"({"prompt": "a", "lora": [{"id": 0, "scale": 1}]})"}) {
        EXPECT_TRUE(parse(body)->own_way) << body;
        EXPECT_FALSE(leaves_slot_open(body, {})) << body;
    }
    EXPECT_TRUE(leaves_slot_open(R"({"prompt": "a", "n": 1, "cache_prompt": true})", {}));
    EXPECT_FALSE(leaves_slot_open("[]", {}));
    EXPECT_FALSE(leaves_slot_open("{", {}));
}

TEST_F(WireUpstreamRequest, TellsItsOwnFieldsFromTheServers) {
    const std::string chat = R"("messages": [{"role": "user", "content": "a"}])";
    const auto own = parse("{" + chat + R"(, "spolia": {"fidelity": "best"}})");
    ASSERT_FALSE(own.ok());
    EXPECT_TRUE(own.error().param.starts_with("spolia"));
    const auto image =
        parse(R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})");
    ASSERT_FALSE(image.ok());
    EXPECT_FALSE(image.error().param.starts_with("spolia"));
}

TEST_F(WireUpstreamRequest, NamesTheSlotAndChangesNothingElse) {
    EXPECT_EQ(with_slot(R"( { "a" : 1.0e2 } )", 3),
              R"( {"id_slot":3,"cache_prompt":true, "a" : 1.0e2 } )");
    EXPECT_EQ(with_slot("{ }", 0, false), R"({"id_slot":0,"cache_prompt":false })");
    EXPECT_EQ(Json::parse(with_slot(R"({"a": {"id": 1}})", 12))["id_slot"], 12);
}

}  // namespace
}  // namespace spolia
