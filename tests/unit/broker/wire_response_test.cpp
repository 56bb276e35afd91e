#include "broker/wire/response.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/wire/api_error.h"
#include "broker/wire/receipt.h"
#include "tests/unit/broker/fake_service.h"

namespace spolia {
namespace {

using Json = nlohmann::json;
using testing::example_outcome;

const ResponseHead kChat{Surface::kChat, "chatcmpl-1", "m", 123};
const ResponseHead kCompletion{Surface::kCompletion, "cmpl-1", "m", 123};

MessageDelta content(std::string text) {
    MessageDelta delta;
    delta.content = std::move(text);
    return delta;
}

MessageDelta call(int32_t index, std::string id, std::string name, std::string arguments) {
    MessageDelta delta;
    delta.tool_calls.push_back({index, std::move(id), std::move(name), std::move(arguments)});
    return delta;
}

TEST(WireResponse, WholeChat) {
    AnswerMessage message;
    message.append(content("Hel"));
    message.append(content("lo"));
    const Json json = Json::parse(whole_response(kChat, message, example_outcome()));
    EXPECT_EQ(json["id"], "chatcmpl-1");
    EXPECT_EQ(json["object"], "chat.completion");
    EXPECT_EQ(json["created"], 123);
    EXPECT_EQ(json["model"], "m");
    ASSERT_EQ(json["choices"].size(), 1u);
    EXPECT_EQ(json["choices"][0]["message"], (Json{{"role", "assistant"}, {"content", "Hello"}}));
    EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
}

TEST(WireResponse, WholeCompletion) {
    AnswerMessage message;
    message.append(content("text"));
    const Json json =
        Json::parse(whole_response(kCompletion, message, example_outcome(FinishReason::kLength)));
    EXPECT_EQ(json["object"], "text_completion");
    EXPECT_EQ(json["choices"][0]["text"], "text");
    EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
}

TEST(WireResponse, CountsOnlyExactRowsAsCached) {
    const Json json = Json::parse(whole_response(kChat, AnswerMessage(), example_outcome()));
    EXPECT_EQ(json["usage"], (Json{{"prompt_tokens", 100},
                                   {"completion_tokens", 4},
                                   {"total_tokens", 104},
                                   {"prompt_tokens_details", {{"cached_tokens", 10}}}}));
    const Json& timings = json["timings"];
    EXPECT_EQ(timings["cache_n"], 10);
    EXPECT_EQ(timings["prompt_n"], 90);
    EXPECT_EQ(timings["prompt_ms"], 45.0);
    EXPECT_EQ(timings["prompt_per_second"], 2000.0);
    EXPECT_EQ(timings["predicted_n"], 4);
    EXPECT_EQ(timings["predicted_ms"], 20.0);
    EXPECT_EQ(timings["predicted_per_second"], 200.0);
}

TEST(WireResponse, CarriesTheReceipt) {
    const Json receipt =
        Json::parse(whole_response(kChat, AnswerMessage(), example_outcome()))["spolia"];
    EXPECT_EQ(receipt["policy"], "cacheblend");
    EXPECT_EQ(receipt["fidelity"], "fast");
    EXPECT_EQ(receipt["tokens"], (Json{{"prompt", 100},
                                       {"exact", 10},
                                       {"shifted", 50},
                                       {"blended", 15},
                                       {"anchored", 0},
                                       {"donor", 0},
                                       {"computed", 25}}));
    EXPECT_EQ(receipt["chunks"], (Json{{"total", 3}, {"hit", 2}}));
    ASSERT_EQ(receipt["misses"].size(), 1u);
    EXPECT_EQ(receipt["misses"][0], (Json{{"reason", "first_sight"}, {"tokens", 20}}));
    EXPECT_EQ(receipt["timings"]["ttft_ms"], 50.0);
}

TEST(WireResponse, CarriesWhatTheGuardSaid) {
    Receipt receipt = testing::example_receipt();
    const auto shown = [&] { return Json::parse(receipt_response("cmpl-1", receipt))["spolia"]; };
    EXPECT_FALSE(shown().contains("guard")) << "it was not asked";
    receipt.fallback = "uncalibrated";
    EXPECT_EQ(shown()["guard"], (Json{{"fallback", "uncalibrated"}}));
    receipt.fallback.clear();
    receipt.rung = "epic:head_rows=16";
    receipt.predicted_kl = 0.0123456789;
    EXPECT_EQ(shown()["guard"], (Json{{"rung", "epic:head_rows=16"}, {"predicted_kl", 0.012346}}));
    receipt.measured_kl = std::numeric_limits<double>::infinity();
    receipt.measured_same_first = false;
    const Json whole = Json::parse(receipt_response("cmpl-1", receipt));
    EXPECT_EQ(whole["object"], "receipt");
    EXPECT_EQ(whole["id"], "cmpl-1");
    EXPECT_TRUE(whole["spolia"]["guard"]["measured_kl"].is_null());
    EXPECT_EQ(whole["spolia"]["guard"]["same_first_token"], false);
}

TEST(WireResponse, NothingMeasuredIsZeroNotInfinite) {
    GenerateOutcome outcome;
    outcome.receipt.n_prompt = 5;
    outcome.receipt.queue_ms = std::numeric_limits<double>::quiet_NaN();
    const Json json = Json::parse(whole_response(kChat, AnswerMessage(), outcome));
    EXPECT_EQ(json["timings"]["prompt_per_second"], 0.0);
    EXPECT_EQ(json["timings"]["predicted_per_token_ms"], 0.0);
    EXPECT_EQ(json["spolia"]["timings"]["queue_ms"], 0.0);
}

TEST(WireResponse, GathersToolCalls) {
    AnswerMessage message;
    message.append(call(0, "call_1", "weather", "{\"ci"));
    message.append(call(0, "", "", "ty\":1}"));
    message.append(call(1, "call_2", "time", "{}"));
    const Json json = Json::parse(whole_response(kChat, message, example_outcome()));
    const Json& choice = json["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    EXPECT_TRUE(choice["message"]["content"].is_null());
    ASSERT_EQ(choice["message"]["tool_calls"].size(), 2u);
    EXPECT_EQ(choice["message"]["tool_calls"][0],
              (Json{{"id", "call_1"},
                    {"type", "function"},
                    {"function", {{"name", "weather"}, {"arguments", "{\"city\":1}"}}}}));
    EXPECT_EQ(choice["message"]["tool_calls"][1]["id"], "call_2");
}

TEST(WireResponse, CutOffCallsEndWithLength) {
    AnswerMessage message;
    message.append(call(0, "call_1", "weather", "{"));
    const Json json =
        Json::parse(whole_response(kChat, message, example_outcome(FinishReason::kLength)));
    EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
}

TEST(WireResponse, ChunksOfAStream) {
    const Json role = Json::parse(role_chunk(kChat));
    EXPECT_EQ(role["object"], "chat.completion.chunk");
    EXPECT_EQ(role["choices"][0]["delta"], (Json{{"role", "assistant"}, {"content", ""}}));
    EXPECT_TRUE(role["choices"][0]["finish_reason"].is_null());

    const Json delta = Json::parse(delta_chunk(kChat, content("x")));
    EXPECT_EQ(delta["choices"][0]["delta"], (Json{{"content", "x"}}));

    MessageDelta thought;
    thought.reasoning = "hm";
    EXPECT_EQ(Json::parse(delta_chunk(kChat, thought))["choices"][0]["delta"],
              (Json{{"reasoning_content", "hm"}}));

    const Json first = Json::parse(delta_chunk(kChat, call(0, "call_1", "f", "")));
    EXPECT_EQ(first["choices"][0]["delta"]["tool_calls"][0],
              (Json{{"index", 0},
                    {"id", "call_1"},
                    {"type", "function"},
                    {"function", {{"name", "f"}, {"arguments", ""}}}}));
    const Json next = Json::parse(delta_chunk(kChat, call(0, "", "", "{}")));
    EXPECT_EQ(next["choices"][0]["delta"]["tool_calls"][0],
              (Json{{"index", 0}, {"function", {{"arguments", "{}"}}}}));

    const Json finish = Json::parse(finish_chunk(kChat, false, example_outcome()));
    EXPECT_EQ(finish["choices"][0]["delta"], Json::object());
    EXPECT_EQ(finish["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(finish["spolia"]["tokens"]["exact"], 10);
    EXPECT_EQ(finish["timings"]["cache_n"], 10);
    EXPECT_FALSE(finish.contains("usage"));

    const Json usage = Json::parse(usage_chunk(kChat, example_outcome()));
    EXPECT_EQ(usage["choices"], Json::array());
    EXPECT_EQ(usage["usage"]["completion_tokens"], 4);
}

TEST(WireResponse, ChunksOfACompletion) {
    const Json delta = Json::parse(delta_chunk(kCompletion, content("x")));
    EXPECT_EQ(delta["object"], "text_completion");
    EXPECT_EQ(delta["choices"][0]["text"], "x");
    const Json finish = Json::parse(finish_chunk(kCompletion, false, example_outcome()));
    EXPECT_EQ(finish["choices"][0]["text"], "");
    EXPECT_EQ(finish["choices"][0]["finish_reason"], "stop");
}

TEST(WireResponse, BrokenUtf8BecomesReplacementCharacters) {
    const Json json = Json::parse(delta_chunk(kChat, content("a\xff")));
    EXPECT_EQ(json["choices"][0]["delta"]["content"], "a\xef\xbf\xbd");
}

TEST(WireResponse, ErrorsOfTheCore) {
    const std::tuple<ErrorCode, int, const char*> cases[] = {
        {ErrorCode::kInvalidArgument, 400, ""},
        {ErrorCode::kNotFound, 404, "not_found"},
        {ErrorCode::kUnsupported, 400, "unsupported"},
        {ErrorCode::kContextTooLong, 400, "context_length_exceeded"},
        {ErrorCode::kOverloaded, 429, "overloaded"},
        {ErrorCode::kOutOfMemory, 503, "out_of_memory"},
        {ErrorCode::kCancelled, 503, "cancelled"},
        {ErrorCode::kCorrupt, 500, "internal_error"},
        {ErrorCode::kIo, 500, "internal_error"},
        {ErrorCode::kInternal, 500, "internal_error"},
    };
    for (const auto& [code, status, name] : cases) {
        const ApiError error = api_error(Error{code, "what happened"});
        EXPECT_EQ(error.status, status);
        EXPECT_EQ(error.code, name);
        EXPECT_EQ(error.message, "what happened");
    }
    const Json json = Json::parse(to_json(bad_request("no", "field")));
    EXPECT_EQ(json, (Json{{"error",
                           {{"message", "no"},
                            {"type", "invalid_request_error"},
                            {"param", "field"},
                            {"code", nullptr}}}}));
}

}  // namespace
}  // namespace spolia
