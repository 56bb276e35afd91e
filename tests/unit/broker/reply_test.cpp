#include "broker/http/reply.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/broker/fake_service.h"

namespace spolia {
namespace {

using Json = nlohmann::json;
using testing::example_outcome;
using testing::example_receipt;

const ResponseHead kChat{Surface::kChat, "chatcmpl-1", "m", 123};

std::unique_ptr<OutputParser> parser() { return std::make_unique<testing::ScriptedParser>(); }

// The events' data, each framed as it has to be.
std::vector<std::string> data_of(const std::string& bytes) {
    std::vector<std::string> data;
    for (size_t begin = 0; begin < bytes.size();) {
        const size_t end = bytes.find("\n\n", begin);
        EXPECT_NE(end, std::string::npos);
        EXPECT_EQ(bytes.compare(begin, 6, "data: "), 0);
        data.push_back(bytes.substr(begin + 6, end - begin - 6));
        EXPECT_EQ(data.back().find('\n'), std::string::npos);
        begin = end + 2;
    }
    return data;
}

std::vector<std::string> stream(StreamReply& reply, const std::vector<GenerationEvent>& events) {
    std::string bytes;
    for (const GenerationEvent& event : events) bytes += reply.take(event);
    return data_of(bytes);
}

TEST(Reply, StreamsAChat) {
    StreamReply reply(kChat, parser(), true);
    const auto data = stream(
        reply, {example_receipt(), TextEvent{"Hi"}, TextEvent{"@think hm"}, example_outcome()});
    ASSERT_EQ(data.size(), 6u);
    EXPECT_EQ(Json::parse(data[0])["choices"][0]["delta"]["role"], "assistant");
    EXPECT_EQ(Json::parse(data[1])["choices"][0]["delta"], (Json{{"content", "Hi"}}));
    EXPECT_EQ(Json::parse(data[2])["choices"][0]["delta"], (Json{{"reasoning_content", "hm"}}));
    EXPECT_EQ(Json::parse(data[3])["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(Json::parse(data[4])["choices"], Json::array());
    EXPECT_EQ(data[5], "[DONE]");
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(Json::parse(data[i])["id"], "chatcmpl-1");
    EXPECT_TRUE(reply.ended());
}

TEST(Reply, UsageOnlyWhenAskedFor) {
    StreamReply reply(kChat, parser(), false);
    const auto data = stream(reply, {example_receipt(), example_outcome()});
    ASSERT_EQ(data.size(), 3u);
    for (const std::string& text : {data[0], data[1]}) {
        EXPECT_FALSE(Json::parse(text).contains("usage"));
    }
}

TEST(Reply, StreamsToolCalls) {
    StreamReply reply(kChat, parser(), false);
    const auto data = stream(reply, {example_receipt(), TextEvent{"@call f {\"a\""},
                                     TextEvent{"@arguments :1}"}, example_outcome()});
    ASSERT_EQ(data.size(), 5u);
    const Json first = Json::parse(data[1])["choices"][0]["delta"]["tool_calls"][0];
    EXPECT_EQ(first["id"], "call_1");
    EXPECT_EQ(first["function"]["name"], "f");
    const Json second = Json::parse(data[2])["choices"][0]["delta"]["tool_calls"][0];
    EXPECT_EQ(second["function"]["arguments"], ":1}");
    EXPECT_EQ(Json::parse(data[3])["choices"][0]["finish_reason"], "tool_calls");
}

TEST(Reply, GivesWhatTheParserHeldBack) {
    StreamReply streamed(kChat, parser(), false);
    const auto data = stream(streamed, {example_receipt(), TextEvent{"@hold"}, example_outcome()});
    ASSERT_EQ(data.size(), 4u);
    EXPECT_EQ(Json::parse(data[1])["choices"][0]["delta"]["content"], ".");

    WholeReply whole(kChat, parser());
    EXPECT_FALSE(whole.take(TextEvent{"@hold"}));
    const auto response = whole.take(example_outcome());
    ASSERT_TRUE(response);
    EXPECT_EQ(Json::parse(response->body)["choices"][0]["message"]["content"], ".");
}

TEST(Reply, LaterErrorsStandInTheStream) {
    for (const GenerationEvent& last :
         {GenerationEvent(Error{ErrorCode::kOutOfMemory, "no room"}),
          GenerationEvent(TextEvent{"@broken"}),
          GenerationEvent(example_outcome(FinishReason::kCancelled))}) {
        StreamReply reply(kChat, parser(), true);
        const auto data = stream(reply, {example_receipt(), TextEvent{"Hi"}, last});
        ASSERT_EQ(data.size(), 3u);
        EXPECT_TRUE(Json::parse(data[2]).contains("error"));
        EXPECT_TRUE(reply.ended());
    }
}

TEST(Reply, HeadersTellTheReceipt) {
    const HttpResponse header = StreamReply::header(example_receipt());
    EXPECT_EQ(header.content_type, "text/event-stream");
    const HttpHeaders expected = {{"Cache-Control", "no-cache"},
                                  {"x-spolia-policy", "cacheblend"},
                                  {"x-spolia-exact", "10"},
                                  {"x-spolia-reused", "50"},
                                  {"x-spolia-computed", "40"}};
    EXPECT_EQ(header.headers, expected);
    EXPECT_EQ(StreamReply::header(Error{ErrorCode::kOverloaded, "full"}).status, 429);

    WholeReply whole(kChat, parser());
    const auto response = whole.take(example_outcome());
    ASSERT_TRUE(response);
    EXPECT_EQ(response->headers, HttpHeaders(expected.begin() + 1, expected.end()));
}

TEST(Reply, WholeAnswersAndFailures) {
    WholeReply reply(kChat, parser());
    EXPECT_FALSE(reply.take(example_receipt()));
    EXPECT_FALSE(reply.take(TextEvent{"a"}));
    EXPECT_FALSE(reply.take(TextEvent{"b"}));
    const auto response = reply.take(example_outcome());
    ASSERT_TRUE(response);
    EXPECT_EQ(Json::parse(response->body)["choices"][0]["message"]["content"], "ab");

    const std::pair<GenerationEvent, int> failures[] = {
        {Error{ErrorCode::kInternal, "broke"}, 500},
        {TextEvent{"@broken"}, 500},
        {example_outcome(FinishReason::kCancelled), 503}};
    for (const auto& [event, status] : failures) {
        WholeReply failing(kChat, parser());
        const auto failure = failing.take(event);
        ASSERT_TRUE(failure);
        EXPECT_EQ(failure->status, status);
    }
}

TEST(Reply, CompletionsHaveNoRole) {
    StreamReply reply({Surface::kCompletion, "cmpl-1", "m", 1}, nullptr, false);
    const auto data = stream(reply, {example_receipt(), TextEvent{"x"}, example_outcome()});
    ASSERT_EQ(data.size(), 3u);
    EXPECT_EQ(Json::parse(data[0])["choices"][0]["text"], "x");
    EXPECT_EQ(data[2], "[DONE]");
}

}  // namespace
}  // namespace spolia
