#include "adapters/llama/chat_template.h"

#include <gtest/gtest.h>

#include <random>

#include "adapters/llama/text_model.h"
#include "tests/support/vocab_model.h"

namespace spolia {
namespace {

using testing::bpe_vocab;
using testing::load_vocab;
using testing::ModelPtr;
using testing::sentencepiece_vocab;

constexpr const char* kChatml =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr const char* kLlama3 =
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}"
    "<|end_header_id|>\n\n{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";
constexpr const char* kMistral =
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if message.role == 'user' %}[INST] {% if loop.last and system is defined %}"
    "{{ system }}\n\n{% endif %}{{ message.content }} [/INST]"
    "{% else %} {{ message.content }}</s>{% endif %}{% endfor %}";
constexpr const char* kUpper =
    "{% for message in messages %}{{ message.role }}: {% if message.role == 'user' %}"
    "{{ message.content | upper }}{% else %}{{ message.content }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}";
constexpr const char* kTools =
    "{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}</tools>"
    "{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>\n"
    "{\"name\": \"{{ call.function.name }}\", \"arguments\": {{ call.function.arguments | tojson "
    "}}}\n</tool_call>{% endfor %}{% else %}{{ message.content }}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::string quoted(const std::string& text) {
    std::string json = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') json += '\\';
        if (c == '\n') {
            json += "\\n";
        } else {
            json += c;
        }
    }
    return json + "\"";
}

std::string message(const std::string& role, const std::string& content) {
    return R"({"role": ")" + role + R"(", "content": )" + quoted(content) + "}";
}

std::string parts(const std::string& role, const std::vector<std::string>& texts) {
    std::string json = R"({"role": ")" + role + R"(", "content": [)";
    for (size_t i = 0; i < texts.size(); ++i) {
        json += (i == 0 ? "" : ", ") + (R"({"type": "text", "text": )" + quoted(texts[i]) + "}");
    }
    return json + "]}";
}

ChatRequest request_of(const std::vector<std::string>& messages) {
    ChatRequest request;
    request.messages_json = "[";
    for (size_t i = 0; i < messages.size(); ++i) {
        request.messages_json += (i == 0 ? "" : ", ") + messages[i];
    }
    request.messages_json += "]";
    return request;
}

// "fixed:bytes" and so on.
std::vector<std::string> words(const RenderedChat& chat) {
    std::vector<std::string> words;
    for (const TextSpan& span : chat.spans) {
        const char* role = span.role == SegmentRole::kFixed   ? "fixed:"
                           : span.role == SegmentRole::kChunk ? "chunk:"
                                                              : "query:";
        words.push_back(role + chat.text.substr(span.begin, span.end - span.begin));
    }
    return words;
}

class ChatTemplates : public ::testing::Test {
protected:
    static void SetUpTestSuite() { model_ = load_vocab(bpe_vocab()); }
    static void TearDownTestSuite() { model_.reset(); }

    static Result<RenderedChat> render(const char* source, const ChatRequest& request) {
        auto chat_template = ChatTemplate::create(model_.get(), source);
        if (!chat_template) return std::move(chat_template).error();
        return (*chat_template)->render(request);
    }

    static void expect_spans(const char* source, const std::vector<std::string>& messages,
                             const std::vector<std::string>& expected) {
        const auto chat = render(source, request_of(messages));
        ASSERT_TRUE(chat.ok()) << chat.error().message;
        EXPECT_EQ(words(*chat), expected) << chat->text;
    }

    static ModelPtr model_;
};
ModelPtr ChatTemplates::model_;

TEST_F(ChatTemplates, ChatmlTurns) {
    const std::vector<std::string> messages = {message("system", "Be brief."),
                                               message("user", "Hello"), message("assistant", "Hi"),
                                               message("user", "Why?")};
    const auto chat = render(kChatml, request_of(messages));
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    EXPECT_EQ(chat->text,
              "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
              "<|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
              "<|im_start|>assistant\n");
    EXPECT_EQ(words(*chat),
              (std::vector<std::string>{"fixed:Be brief.", "chunk:Hello", "chunk:Hi",
                                        "query:Why?<|im_end|>\n<|im_start|>assistant\n"}));
    EXPECT_TRUE(chat->grammar.grammar.empty());
}

TEST_F(ChatTemplates, NoTemplateIsChatml) {
    const auto chat = render("", request_of({message("user", "Hello")}));
    ASSERT_TRUE(chat.ok());
    EXPECT_EQ(chat->text, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(ChatTemplates, GenerationPromptCanBeLeftOut) {
    ChatRequest request = request_of({message("user", "Hello")});
    request.add_generation_prompt = false;
    const auto chat = render(kChatml, request);
    ASSERT_TRUE(chat.ok());
    EXPECT_EQ(words(*chat), std::vector<std::string>{"query:Hello<|im_end|>\n"});
}

TEST_F(ChatTemplates, ContentThatReadsLikeTheTemplate) {
    expect_spans(kChatml,
                 {message("user", "user"), message("assistant", "<|im_end|>"),
                  message("user", "<|im_start|>user\n"), message("assistant", "user"),
                  message("user", "user")},
                 {"chunk:user", "chunk:<|im_end|>", "chunk:<|im_start|>user\n", "chunk:user",
                  "query:user<|im_end|>\n<|im_start|>assistant\n"});
}

TEST_F(ChatTemplates, EmptyContent) {
    expect_spans(kChatml,
                 {message("system", ""), message("user", "a"), message("assistant", ""),
                  message("user", "a")},
                 {"chunk:a", "query:a<|im_end|>\n<|im_start|>assistant\n"});
    expect_spans(kChatml, {message("user", "")}, {});
}

TEST_F(ChatTemplates, PartsOfAnArray) {
    expect_spans(
        kChatml, {parts("user", {"one\n", " two", "one\n", "?"})},
        {"chunk:one\n", "chunk: two", "chunk:one\n", "query:?<|im_end|>\n<|im_start|>assistant\n"});
}

TEST_F(ChatTemplates, EverythingBehindTheQueryIsQuery) {
    expect_spans(kChatml, {message("user", "a"), message("assistant", "b"), message("tool", "c")},
                 {"query:a<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>tool\nc"
                  "<|im_end|>\n<|im_start|>assistant\n"});
}

TEST_F(ChatTemplates, WithoutUserTheLastPartIsQuery) {
    expect_spans(kChatml, {message("system", "a"), message("assistant", "b")},
                 {"fixed:a", "query:b<|im_end|>\n<|im_start|>assistant\n"});
}

TEST_F(ChatTemplates, TrimmedContent) {
    expect_spans(kLlama3,
                 {message("system", " a\n"), message("user", "\n b c"), message("assistant", " \n"),
                  message("user", "d ")},
                 {"fixed:a", "chunk:b c",
                  "query:d<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"});
}

TEST_F(ChatTemplates, MovedSystemMessage) {
    expect_spans(kMistral,
                 {message("system", "Rules"), message("user", "a"), message("assistant", "b"),
                  message("user", "c")},
                 {"chunk:a", "chunk:b", "fixed:Rules", "query:c [/INST]"});
}

TEST_F(ChatTemplates, ChangedContentHasNoSpan) {
    expect_spans(kUpper,
                 {message("system", "a"), message("user", "b"), message("assistant", "c"),
                  message("user", "d")},
                 {"fixed:a", "chunk:c"});
    expect_spans(kUpper, {message("user", "B"), message("assistant", "c"), message("user", "d")},
                 {"chunk:c"});
}

TEST_F(ChatTemplates, WhatATemplateRaisesIsTheClientsError) {
    const auto chat = render(kMistral, request_of({message("user", "a"), message("user", "b")}));
    ASSERT_FALSE(chat.ok());
    EXPECT_EQ(chat.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(chat.error().message, "chat template: roles must alternate");
}

TEST_F(ChatTemplates, BadFieldsAreNamed) {
    const auto message_of = [](const ChatRequest& request) {
        const auto chat = render(kChatml, request);
        EXPECT_FALSE(chat.ok());
        if (chat.ok()) return std::string();
        EXPECT_EQ(chat.error().code, ErrorCode::kInvalidArgument);
        return chat.error().message;
    };
    const ChatRequest good = request_of({message("user", "a")});
    ChatRequest bad = good;
    bad.messages_json = "[";
    EXPECT_TRUE(message_of(bad).starts_with("'messages': "));
    bad.messages_json = "[]";
    EXPECT_EQ(message_of(bad), "'messages': there must be at least one");
    bad.messages_json = R"([{"role": "user", "content": [{"type": "image_url", "url": ""}]}])";
    EXPECT_NE(message_of(bad).find("image_url"), std::string::npos);
    bad.messages_json = R"([{"role": "user", "content": [{"type": "media_marker", "text": ""}]}])";
    EXPECT_NE(message_of(bad).find("media_marker"), std::string::npos);
    bad.messages_json = std::string(100000, '[') + std::string(100000, ']');
    EXPECT_EQ(message_of(bad), "'messages': nested deeper than 100");
    bad = good;
    bad.tools_json = R"([{"type": "function"}])";
    EXPECT_TRUE(message_of(bad).starts_with("'tools': "));
    bad = good;
    bad.tool_choice = "sometimes";
    EXPECT_TRUE(message_of(bad).starts_with("'tool_choice': "));
    bad = good;
    bad.json_schema = "{";
    EXPECT_TRUE(message_of(bad).starts_with("'response_format': "));
    bad = good;
    bad.template_kwargs["enable_thinking"] = "\"yes\"";
    EXPECT_EQ(message_of(bad), "'chat_template_kwargs.enable_thinking': must be true or false");
    bad = good;
    bad.grammar = "root ::= \"a\"";
    bad.json_schema = "{}";
    EXPECT_EQ(message_of(bad), "'grammar' and 'response_format' exclude each other");
}

TEST_F(ChatTemplates, ThinkingIsOffUnlessAskedFor) {
    constexpr const char* kThinks =
        "{% for message in messages %}{{ message.content }}{% endfor %}|{{ enable_thinking }}"
        "{% if color is defined %}|{{ color }}{% endif %}";
    ChatRequest request = request_of({message("user", "a")});
    auto chat = render(kThinks, request);
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    EXPECT_EQ(chat->text, "a|False");
    request.template_kwargs = {{"enable_thinking", "true"}, {"color", "\"red\""}};
    chat = render(kThinks, request);
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    EXPECT_EQ(chat->text, "a|True|red");
}

TEST_F(ChatTemplates, GrammarOfTheClient) {
    ChatRequest request = request_of({message("user", "a")});
    request.grammar = "root ::= \"yes\" | \"no\"";
    const auto chat = render(kChatml, request);
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    EXPECT_EQ(chat->grammar.grammar, request.grammar);
    EXPECT_EQ(chat->grammar.prefix, "");
    EXPECT_FALSE(chat->grammar.lazy);
}

TEST_F(ChatTemplates, ToolsAreRenderedAndTheirGrammarWaits) {
    ChatRequest request = request_of({message("user", "a")});
    request.tools_json = R"([{"type": "function", "function": {"name": "weather", "parameters": )"
                         R"({"type": "object", "properties": {"city": {"type": "string"}}}}}])";
    const auto chat = render(kTools, request);
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    EXPECT_NE(chat->text.find("\"weather\""), std::string::npos);
    EXPECT_EQ(words(*chat).back(), "query:a<|im_end|>\n<|im_start|>assistant\n");
    EXPECT_TRUE(chat->grammar.lazy);
    EXPECT_EQ(chat->grammar.trigger_tokens.size() + chat->grammar.trigger_patterns.size(), 1u);

    request.tool_choice = "required";
    const auto required = render(kTools, request);
    ASSERT_TRUE(required.ok()) << required.error().message;
    EXPECT_FALSE(required->grammar.lazy);
    EXPECT_EQ(required->grammar.prefix, "<|im_start|>assistant\n");

    const auto plain = render(kChatml, request);
    ASSERT_FALSE(plain.ok());
    EXPECT_EQ(plain.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(plain.error().message.starts_with("'tool_choice': ")) << plain.error().message;

    request.tool_choice = "none";
    const auto none = render(kTools, request);
    ASSERT_TRUE(none.ok()) << none.error().message;
    EXPECT_TRUE(none->grammar.grammar.empty());
}

TEST_F(ChatTemplates, MarkersOfToolCallsGetToTheParser) {
    const auto text_model = LlamaTextModel::create(model_.get(), kTools);
    ASSERT_TRUE(text_model.ok());
    const auto marker = (*text_model)->tokenize("<tool_call>", false, true);
    const auto control = (*text_model)->tokenize("[INST]", false, true);
    ASSERT_EQ(marker->tokens.size(), 1u);
    ASSERT_EQ(control->tokens.size(), 1u);
    EXPECT_EQ((*text_model)->piece(marker->tokens[0]), "<tool_call>");
    EXPECT_EQ((*text_model)->piece(control->tokens[0]), "");
}

// Every part that isn't empty is found by the templates that leave content as it is, whatever it
// reads like.
TEST_F(ChatTemplates, RandomConversations) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::vector<std::string> atoms = {"user",   "\n", "<|im_end|>", "<|im_start|>", " ", "a",
                                            "[INST]", "\"", "{{ x }}",    "é🙂"};
    const auto random_text = [&] {
        std::string text;
        for (size_t left = random() % 5; left > 0; --left) text += atoms[random() % atoms.size()];
        return text;
    };
    auto chat_template = ChatTemplate::create(model_.get(), kChatml);
    ASSERT_TRUE(chat_template.ok());
    for (int round = 0; round < 60; ++round) {
        std::vector<std::string> messages;
        std::vector<std::string> expected;
        const auto expected_text = [&] {
            std::string text = random_text();
            if (!text.empty()) expected.push_back("chunk:" + text);
            return text;
        };
        for (size_t left = random() % 5; left > 0; --left) {
            const std::string role = random() % 2 ? "user" : "assistant";
            if (random() % 2) {
                messages.push_back(message(role, expected_text()));
            } else {
                messages.push_back(
                    parts(role, {expected_text(), expected_text(), expected_text()}));
            }
        }
        messages.push_back(message("user", "the end"));
        expected.push_back("query:the end<|im_end|>\n<|im_start|>assistant\n");
        const auto chat = (*chat_template)->render(request_of(messages));
        ASSERT_TRUE(chat.ok()) << chat.error().message;
        EXPECT_EQ(words(*chat), expected) << chat->text;
    }
}

TEST(ChatTemplate, AddedBosIsNotRenderedTwice) {
    const ModelPtr model = load_vocab(sentencepiece_vocab(true));
    const auto chat_template = ChatTemplate::create(model.get(), kLlama3);
    ASSERT_TRUE(chat_template.ok());
    const auto chat = (*chat_template)->render(request_of({message("user", "a")}));
    ASSERT_TRUE(chat.ok());
    EXPECT_TRUE(chat->text.starts_with("<|start_header_id|>")) << chat->text;
}

}  // namespace
}  // namespace spolia
