#include "broker/wire/requests.h"

#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/broker/fake_text_model.h"

namespace spolia {
namespace {

using Json = nlohmann::json;

class WireRequests : public ::testing::Test {
protected:
    RequestContext context() const { return {model_, names_, "team", {}}; }

    Parsed<ParsedRequest> chat(const std::string& body) const {
        return parse_chat_request(body, context());
    }
    Parsed<ParsedRequest> completion(const std::string& body) const {
        return parse_completion_request(body, context());
    }
    // A chat request with one more member.
    Parsed<ParsedRequest> chat_with(const std::string& member) const {
        return chat(R"({"messages":[{"role":"user","content":"hi"}],)" + member + "}");
    }

    testing::FakeTextModel model_;
    std::vector<std::string> names_ = {"shown", "own"};
};

TEST_F(WireRequests, RendersAndTokenizesAChat) {
    const auto request = chat(R"({"messages":[{"role":"system","content":"doc"},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})");
    ASSERT_TRUE(request.ok()) << request.error().message;
    const GenerateRequest& generate = request->generate;
    EXPECT_EQ(generate.prompt.text, "<system>doc\n<user>ab\n");
    EXPECT_EQ(generate.prompt.tokens.front(), testing::FakeTextModel::kBos);
    ASSERT_EQ(generate.spans.size(), 2u);
    EXPECT_EQ(generate.spans[0].role, SegmentRole::kChunk);
    EXPECT_EQ(generate.spans[1].role, SegmentRole::kQuery);
    EXPECT_EQ(generate.stops, std::vector<std::string>{"<end>"});
    EXPECT_EQ(generate.tenant, "team");
    EXPECT_EQ(generate.id.rfind("chatcmpl-", 0), 0u);
    EXPECT_EQ(generate.tokens_max, -1);
    EXPECT_NE(request->parser, nullptr);
    EXPECT_FALSE(request->stream);
}

TEST_F(WireRequests, ReadsEveryOption) {
    const auto request = chat_with(R"("model":"own","temperature":0.5,"top_p":0.25,"top_k":7,
        "min_p":0.125,"frequency_penalty":-1.5,"presence_penalty":1.5,"repeat_penalty":1.25,
        "seed":42,"max_tokens":5,"max_completion_tokens":9,"stop":["x","y"],"stream":true,
        "stream_options":{"include_usage":true},"logit_bias":{"65":-100,"66":2.5},
        "cache_salt":"pepper","prompt_cache_key":"k","user":"u","metadata":{"a":[1]},
        "spolia":{"fidelity":"exact","policy":"epic","recompute_ratio":0.5,"head_rows":8,
                  "max_kl":0.25,"min_agreement":0.5,"agent":"planner","slot":1})");
    ASSERT_TRUE(request.ok()) << request.error().message;
    const SamplingParams& sampling = request->generate.sampling;
    EXPECT_FLOAT_EQ(sampling.temperature, 0.5f);
    EXPECT_FLOAT_EQ(sampling.top_p, 0.25f);
    EXPECT_EQ(sampling.top_k, 7);
    EXPECT_FLOAT_EQ(sampling.min_p, 0.125f);
    EXPECT_FLOAT_EQ(sampling.frequency_penalty, -1.5f);
    EXPECT_FLOAT_EQ(sampling.presence_penalty, 1.5f);
    EXPECT_FLOAT_EQ(sampling.repeat_penalty, 1.25f);
    EXPECT_EQ(sampling.seed, 42u);
    EXPECT_EQ(sampling.logit_bias,
              (std::vector<std::pair<Token, float>>{{65, -100.0f}, {66, 2.5f}}));
    EXPECT_EQ(request->generate.tokens_max, 9);
    EXPECT_EQ(request->generate.stops, (std::vector<std::string>{"x", "y", "<end>"}));
    EXPECT_TRUE(request->stream);
    EXPECT_TRUE(request->include_usage);
    EXPECT_EQ(request->generate.tenant, tenant_salt("team", "pepper"));
    const ReuseOptions& reuse = request->generate.reuse;
    EXPECT_EQ(reuse.fidelity, Fidelity::kExact);
    EXPECT_EQ(reuse.policy, "epic");
    EXPECT_EQ(reuse.recompute_ratio, 0.5);
    EXPECT_EQ(reuse.head_rows, 8);
    EXPECT_EQ(reuse.max_kl, 0.25);
    EXPECT_EQ(reuse.min_agreement, 0.5);
    EXPECT_EQ(reuse.agent, "planner");
}

TEST_F(WireRequests, NullIsAbsent) {
    const auto request = chat_with(R"("temperature":null,"stop":null,"max_tokens":null,"seed":null,
        "tools":null,"response_format":null,"logprobs":null,"n":null,"spolia":null,"stream":null)");
    ASSERT_TRUE(request.ok()) << request.error().message;
    EXPECT_FLOAT_EQ(request->generate.sampling.temperature, SamplingParams().temperature);
    EXPECT_FALSE(request->generate.sampling.seed);
}

TEST_F(WireRequests, SaltsOfDifferentPairsDiffer) {
    EXPECT_EQ(tenant_salt("a", ""), "a");
    EXPECT_NE(tenant_salt("a", "b"), tenant_salt("ab", ""));
    EXPECT_NE(tenant_salt("", "ab"), tenant_salt("a", "b"));
}

TEST_F(WireRequests, PassesToolsOn) {
    const std::string tools = R"("tools":[
        {"type":"function","function":{"name":"zoo","parameters":{"z":1,"a":2}}},
        {"type":"function","function":{"name":"bar"}}])";
    ASSERT_TRUE(chat_with(tools + R"(,"parallel_tool_calls":true)").ok());
    EXPECT_EQ(model_.last_chat().tool_choice, "auto");
    EXPECT_TRUE(model_.last_chat().parallel_tool_calls);
    // The order of members is the client's.
    EXPECT_NE(model_.last_chat().tools_json.find(R"({"z":1,"a":2})"), std::string::npos);

    ASSERT_TRUE(
        chat_with(tools + R"(,"tool_choice":{"type":"function","function":{"name":"bar"}})").ok());
    EXPECT_EQ(model_.last_chat().tool_choice, "required");
    EXPECT_EQ(model_.last_chat().tools_json, R"([{"type":"function","function":{"name":"bar"}}])");

    ASSERT_TRUE(chat_with(R"("tools":[])").ok());
    EXPECT_EQ(model_.last_chat().tools_json, "");
}

TEST_F(WireRequests, ReadsResponseFormats) {
    ASSERT_TRUE(chat_with(R"("response_format":{"type":"text"})").ok());
    EXPECT_EQ(model_.last_chat().json_schema, "");
    ASSERT_TRUE(chat_with(R"("response_format":{"type":"json_object"})").ok());
    EXPECT_EQ(model_.last_chat().json_schema, "{}");
    ASSERT_TRUE(chat_with(R"("response_format":{"type":"json_schema",
        "json_schema":{"name":"n","schema":{"type":"object","properties":{"b":{},"a":{}}}}})")
                    .ok());
    EXPECT_EQ(model_.last_chat().json_schema, R"({"type":"object","properties":{"b":{},"a":{}}})");
}

TEST_F(WireRequests, PassesTemplateOptionsOn) {
    ASSERT_TRUE(chat_with(R"("chat_template_kwargs":{"enable_thinking":false,"n":[1]},
                             "grammar":"root ::= \"x\"","add_generation_prompt":false)")
                    .ok());
    const ChatRequest chat = model_.last_chat();
    EXPECT_EQ(chat.template_kwargs.at("enable_thinking"), "false");
    EXPECT_EQ(chat.template_kwargs.at("n"), "[1]");
    EXPECT_EQ(chat.grammar, "root ::= \"x\"");
    EXPECT_FALSE(chat.add_generation_prompt);
}

TEST_F(WireRequests, NamesTheWrongFieldOfAChat) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({})", "messages"},
        {R"({"messages":[]})", "messages"},
        {R"({"messages":"hi"})", "messages"},
        {R"({"messages":[1]})", "messages[0]"},
        {R"({"messages":[{"content":"x"}]})", "messages[0].role"},
        {R"({"messages":[{"role":7,"content":"x"}]})", "messages[0].role"},
        {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
        {R"({"messages":[{"role":"user","content":null}]})", "messages[0].content"},
        {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
        {R"({"messages":[{"role":"assistant"}]})", "messages[0].content"},
        {R"({"messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]"},
        {R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"data:"}}]}]})",
         "messages[0].content[1].type"},
        {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})",
         "messages[0].content[0].text"},
        {R"({"messages":[{"role":"forbidden","content":"x"}]})", "messages"},
    };
    for (const auto& [body, param] : cases) {
        const auto request = chat(body);
        ASSERT_FALSE(request.ok()) << body;
        EXPECT_EQ(request.error().status, 400) << body;
        EXPECT_EQ(request.error().type, "invalid_request_error") << body;
        EXPECT_EQ(request.error().param, param) << body;
    }
}

TEST_F(WireRequests, NamesTheWrongOption) {
    const std::pair<const char*, const char*> cases[] = {
        {R"("temperature":"hot")", "temperature"},
        {R"("temperature":-0.1)", "temperature"},
        {R"("temperature":2.5)", "temperature"},
        {R"("temperature":true)", "temperature"},
        {R"("top_p":1.5)", "top_p"},
        {R"("min_p":-1)", "min_p"},
        {R"("top_k":1.5)", "top_k"},
        {R"("top_k":-2)", "top_k"},
        {R"("frequency_penalty":3)", "frequency_penalty"},
        {R"("presence_penalty":-3)", "presence_penalty"},
        {R"("max_tokens":-1)", "max_tokens"},
        {R"("max_tokens":0)", "max_tokens"},
        {R"("max_tokens":"5")", "max_tokens"},
        {R"("max_tokens":99999999999999999999)", "max_tokens"},
        {R"("max_tokens":18446744073709551615)", "max_tokens"},
        {R"("max_completion_tokens":-5)", "max_completion_tokens"},
        {R"("seed":1.5)", "seed"},
        {R"("n":2)", "n"},
        {R"("n":0)", "n"},
        {R"("logprobs":true)", "logprobs"},
        {R"("top_logprobs":3)", "top_logprobs"},
        {R"("stop":5)", "stop"},
        {R"("stop":[5])", "stop"},
        {R"("stop":"")", "stop"},
        {R"("stop":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"])", "stop"},
        {R"("stream":"yes")", "stream"},
        {R"("stream_options":true)", "stream_options"},
        {R"("stream_options":{"include_usage":1})", "stream_options.include_usage"},
        {R"("logit_bias":[1])", "logit_bias"},
        {R"("logit_bias":{"a":1})", "logit_bias"},
        {R"("logit_bias":{"257":1})", "logit_bias"},
        {R"("logit_bias":{"-1":1})", "logit_bias"},
        {R"("logit_bias":{"1":101})", "logit_bias"},
        {R"("logit_bias":{"1":"x"})", "logit_bias"},
        {R"("cache_salt":5)", "cache_salt"},
        {R"("prompt_cache_key":5)", "prompt_cache_key"},
        {R"("tools":{})", "tools"},
        {R"("tools":[{"type":"retrieval"}])", "tools[0].type"},
        {R"("tools":[{"type":"function"}])", "tools[0].function.name"},
        {R"("tool_choice":"required")", "tool_choice"},
        {R"("tool_choice":"sometimes")", "tool_choice"},
        {R"("tool_choice":{"type":"function","function":{"name":"x"}})", "tool_choice"},
        {R"("response_format":"json")", "response_format"},
        {R"("response_format":{})", "response_format.type"},
        {R"("response_format":{"type":"xml"})", "response_format.type"},
        {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
        {R"("response_format":{"type":"json_schema","json_schema":{}})",
         "response_format.json_schema.schema"},
        {R"("response_format":{"type":"json_object"},"grammar":"root ::= \"x\"")", "grammar"},
        {R"("spolia":[])", "spolia"},
        {R"("spolia":{"fidelity":"best"})", "spolia.fidelity"},
        {R"("spolia":{"policy":"magic"})", "spolia.policy"},
        {R"("spolia":{"recompute_ratio":0})", "spolia.recompute_ratio"},
        {R"("spolia":{"recompute_ratio":1.5})", "spolia.recompute_ratio"},
        {R"("spolia":{"head_rows":-1})", "spolia.head_rows"},
        {R"("spolia":{"max_kl":-0.1})", "spolia.max_kl"},
        {R"("spolia":{"min_agreement":1.5})", "spolia.min_agreement"},
        {R"("spolia":{"slot":"a"})", "spolia.slot"},
        {R"("spolia":{"fidelty":"exact"})", "spolia.fidelty"},
        {R"("spolia":{"fidelty":null})", "spolia.fidelty"},
    };
    for (const auto& [member, param] : cases) {
        const auto request = chat_with(member);
        ASSERT_FALSE(request.ok()) << member;
        EXPECT_EQ(request.error().status, 400) << member;
        EXPECT_EQ(request.error().param, param) << member;
        EXPECT_FALSE(request.error().message.empty()) << member;
    }
}

TEST_F(WireRequests, SaysWhichFieldsOfOursThereAre) {
    for (const auto& request :
         {chat_with(R"("spolia":{"fidelity":"fast","fidelty":1})"),
          completion(R"({"prompt":"a","spolia":{"fidelity":"fast","fidelty":1}})")}) {
        ASSERT_FALSE(request.ok());
        EXPECT_EQ(request.error().message,
                  "'spolia.fidelty' is not known here; there are fidelity, policy, "
                  "recompute_ratio, head_rows, max_kl, min_agreement, agent, slot, retrieve");
    }
    EXPECT_TRUE(chat_with(R"("fidelty":1)").ok()) << "OpenAI's own object grows";
}

TEST_F(WireRequests, AcceptsWhatAsksForNothing) {
    for (const char* member : {R"("n":1)", R"("logprobs":false)", R"("top_logprobs":0)",
                               R"("tool_choice":"none")", R"("temperature":0)", R"("top_k":0)",
                               R"("seed":-1)", R"("stop":[])", R"("logit_bias":{})"}) {
        const auto request = chat_with(member);
        EXPECT_TRUE(request.ok()) << member << ": " << request.error().message;
    }
}

TEST_F(WireRequests, UnknownModelIsNotFound) {
    const auto request = chat_with(R"("model":"gpt-5")");
    ASSERT_FALSE(request.ok());
    EXPECT_EQ(request.error().status, 404);
    EXPECT_EQ(request.error().code, "model_not_found");
    EXPECT_EQ(request.error().param, "model");
    EXPECT_TRUE(chat_with(R"("model":"shown")").ok());
    EXPECT_TRUE(chat_with(R"("model":"")").ok());
}

TEST_F(WireRequests, SaysWhereJsonBreaks) {
    const auto request = chat("{\"messages\": [\n  {\"role\": oops}]}");
    ASSERT_FALSE(request.ok());
    EXPECT_EQ(request.error().status, 400);
    EXPECT_EQ(request.error().code, "invalid_json");
    EXPECT_NE(request.error().message.find("line 2, column 12"), std::string::npos)
        << request.error().message;
}

TEST_F(WireRequests, RefusesWhatIsNoJsonObject) {
    const std::string bodies[] = {
        "",
        " ",
        "null",
        "[]",
        "\"text\"",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":1e999}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\xff\xfe\"}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xe2\x82\"}",
        std::string("{\"a\":\"\0\"}", 9),
        "{\"a\":\"\n\"}",
        "\xff",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
    };
    for (const std::string& body : bodies) {
        const auto request = chat(body);
        ASSERT_FALSE(request.ok()) << body;
        EXPECT_EQ(request.error().status, 400) << body;
        EXPECT_LT(request.error().message.size(), 300u) << body;
        EXPECT_TRUE(Json::accept(to_json(request.error()))) << body;
    }
}

TEST_F(WireRequests, BoundsTheCostOfJson) {
    const std::string head = R"({"messages":[{"role":"user","content":"hi"}],"x":)";
    const auto nested = [&](size_t depth) {
        return head + std::string(depth, '[') + std::string(depth, ']') + "}";
    };
    EXPECT_TRUE(chat(nested(63)).ok());
    for (const size_t depth : {size_t{64}, size_t{1'000'000}}) {
        const auto request = chat(nested(depth));
        ASSERT_FALSE(request.ok());
        EXPECT_NE(request.error().message.find("nested deeper"), std::string::npos);
    }
    EXPECT_TRUE(chat(head + "\"" + std::string(1000, '[') + "\"}").ok());

    std::string members = "{";
    for (int i = 0; i < 1025; ++i) members += "\"k" + std::to_string(i) + "\":0,";
    members.back() = '}';
    EXPECT_FALSE(chat(head + members + "}").ok());

    std::string values = "[0";
    for (int i = 0; i < 2'000'000; ++i) values += ",0";
    EXPECT_FALSE(chat(head + values + "]}").ok());
}

TEST_F(WireRequests, ReadsLongText) {
    const std::string text(10'000'000, 'a');
    const auto request = chat(R"({"messages":[{"role":"user","content":")" + text + "\"}]}");
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->generate.prompt.tokens.size(), text.size() + sizeof("<user>\n"));
}

TEST_F(WireRequests, CompletionTakesEveryFormOfPrompt) {
    const auto text = completion(R"({"prompt":"abc"})");
    ASSERT_TRUE(text.ok());
    EXPECT_EQ(text->generate.prompt.tokens,
              (std::vector<Token>{testing::FakeTextModel::kBos, 'a', 'b', 'c'}));
    EXPECT_EQ(text->generate.id.rfind("cmpl-", 0), 0u);
    EXPECT_EQ(text->surface, Surface::kCompletion);
    EXPECT_EQ(text->parser, nullptr);

    for (const char* body : {R"({"prompt":[97,98]})", R"({"prompt":[[97,98]]})"}) {
        const auto ids = completion(body);
        ASSERT_TRUE(ids.ok()) << ids.error().message;
        EXPECT_EQ(ids->generate.prompt.tokens, (std::vector<Token>{'a', 'b'}));
        EXPECT_EQ(ids->generate.prompt.text, "ab");
        EXPECT_EQ(ids->generate.prompt.byte_begin, (std::vector<uint32_t>{0, 1, 2}));
    }
    const auto one = completion(R"({"prompt":["abc"]})");
    ASSERT_TRUE(one.ok());
    EXPECT_EQ(one->generate.prompt.text, "abc");
}

TEST_F(WireRequests, CompletionKeepsItsLastParagraphAsQuery) {
    const auto request = completion(R"({"prompt":"doc one\n\ndoc two\n\nquestion?\n\n"})");
    ASSERT_TRUE(request.ok());
    const auto& spans = request->generate.spans;
    ASSERT_EQ(spans.size(), 2u);
    EXPECT_EQ(spans[0].role, SegmentRole::kChunk);
    EXPECT_EQ(spans[0].end, std::string("doc one\n\ndoc two\n\n").size());
    EXPECT_EQ(spans[1].begin, spans[0].end);
    EXPECT_EQ(spans[1].role, SegmentRole::kQuery);
    EXPECT_EQ(spans[1].end, request->generate.prompt.text.size());

    const auto plain = completion(R"({"prompt":"question"})");
    ASSERT_TRUE(plain.ok());
    ASSERT_EQ(plain->generate.spans.size(), 1u);
    EXPECT_EQ(plain->generate.spans[0].role, SegmentRole::kQuery);
}

TEST_F(WireRequests, NamesTheWrongFieldOfACompletion) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({})", "prompt"},
        {R"({"prompt":null})", "prompt"},
        {R"({"prompt":7})", "prompt"},
        {R"({"prompt":{}})", "prompt"},
        {R"({"prompt":[]})", "prompt"},
        {R"({"prompt":["a","b"]})", "prompt"},
        {R"({"prompt":[[1],[2]]})", "prompt"},
        {R"({"prompt":[1,"a"]})", "prompt"},
        {R"({"prompt":[-1]})", "prompt"},
        {R"({"prompt":[257]})", "prompt"},
        {R"({"prompt":[18446744073709551615]})", "prompt"},
        {R"({"prompt":[1.5]})", "prompt"},
        {R"({"prompt":"a","echo":true})", "echo"},
        {R"({"prompt":"a","suffix":"b"})", "suffix"},
        {R"({"prompt":"a","best_of":2})", "best_of"},
        {R"({"prompt":"a","logprobs":0})", "logprobs"},
        {R"({"prompt":"a","response_format":{"type":"json_object"}})", "response_format"},
    };
    for (const auto& [body, param] : cases) {
        const auto request = completion(body);
        ASSERT_FALSE(request.ok()) << body;
        EXPECT_EQ(request.error().status, 400) << body;
        EXPECT_EQ(request.error().param, param) << body;
    }
}

TEST_F(WireRequests, PlanTakesBothKinds) {
    const auto as_chat =
        parse_plan_request(R"({"messages":[{"role":"user","content":"x"}]})", context());
    ASSERT_TRUE(as_chat.ok());
    EXPECT_EQ(as_chat->surface, Surface::kChat);
    const auto as_completion = parse_plan_request(R"({"prompt":"x"})", context());
    ASSERT_TRUE(as_completion.ok());
    EXPECT_EQ(as_completion->surface, Surface::kCompletion);
}

TEST_F(WireRequests, RendersATemplate) {
    const auto prompt = render_prompt(R"({"messages":[{"role":"user","content":"x"}]})", context());
    ASSERT_TRUE(prompt.ok());
    EXPECT_EQ(*prompt, R"({"prompt":"<user>x\n"})");
}

}  // namespace
}  // namespace spolia
