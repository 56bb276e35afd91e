#include "adapters/llama_server/server_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_llama_server.h"

namespace spolia {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ServerCall always(int status, std::string body) {
    return [=](std::string_view, std::string_view, const std::string&) {
        return Result<ServerReply>(ServerReply{status, body});
    };
}

TEST(LlamaServerClient, ReadsWhatTheServerSaysOfItself) {
    test::FakeLlamaServer server;
    const Result<ServerProps> props = LlamaServerClient(server.call()).props();
    ASSERT_TRUE(props.ok()) << props.error().message;
    EXPECT_EQ(props->n_slots, 2);
    EXPECT_EQ(props->n_ctx, 256);
    EXPECT_EQ(props->model_path, "/models/test.gguf");
    EXPECT_FALSE(props->multimodal);
}

TEST(LlamaServerClient, TokenizesAsCompletionsDo) {
    std::string sent;
    const LlamaServerClient client(
        [&](std::string_view, std::string_view target, std::string body) {
            EXPECT_EQ(target, "/tokenize");
            sent = std::move(body);
            return Result<ServerReply>(ServerReply{200, R"({"tokens": [1, 22]})"});
        });
    EXPECT_THAT(*client.tokenize("a\xff\"b"), ElementsAre(1, 22));
    EXPECT_THAT(sent, HasSubstr(R"("add_special":true)"));
    EXPECT_THAT(sent, HasSubstr(R"("parse_special":true)"));
}

TEST(LlamaServerClient, CountsWhatTheSlotHad) {
    test::FakeLlamaServer server;
    const LlamaServerClient client(server.call());
    const std::vector<Token> prompt = {1, 2, 3};
    EXPECT_EQ(client.complete(1, prompt)->cache_n, 0);
    const Result<ServerTimings> again = client.complete(1, prompt);
    EXPECT_EQ(again->cache_n, 2);
    EXPECT_EQ(again->prompt_n, 1);
    EXPECT_EQ(again->prompt_ms, 12.5);
    EXPECT_TRUE(client.erase_slot(1).ok());
    EXPECT_EQ(client.complete(1, prompt)->cache_n, 0);
}

TEST(LlamaServerClient, RepeatsTheServersWords) {
    const LlamaServerClient client(
        always(501, R"({"error": {"message": "This server does not support slots action"}})"));
    const Status saved = client.save_slot(0, "x");
    EXPECT_EQ(saved.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(saved.error().message, HasSubstr("/slots/0?action=save"));
    EXPECT_THAT(saved.error().message, HasSubstr("does not support slots action"));
}

TEST(LlamaServerClient, RefusesAnswersOfAnotherKind) {
    for (const char* body : {"", "[]", "{}", R"({"tokens": 3, "prompt": 4, "timings": 5})",
                             R"({"tokens": ["a"], "total_slots": "2"})"}) {
        const LlamaServerClient client(always(200, body));
        EXPECT_FALSE(client.props().ok()) << body;
        EXPECT_FALSE(client.tokenize("a").ok()) << body;
        EXPECT_FALSE(client.apply_template("{}").ok()) << body;
        EXPECT_FALSE(client.complete(0, std::vector<Token>{1}).ok()) << body;
    }
}

}  // namespace
}  // namespace spolia
