#include "adapters/llama/output_parser.h"

#include <gtest/gtest.h>

#include <random>

#include "adapters/llama/chat_template.h"
#include "tests/support/vocab_model.h"

namespace spolia {
namespace {

using testing::bpe_vocab;
using testing::load_vocab;
using testing::ModelPtr;

constexpr const char* kTools =
    "{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}</tools>"
    "{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}{% for call in message.tool_calls or [] %}\n<tool_call>\n"
    "{\"name\": \"{{ call.function.name }}\", \"arguments\": {{ call.function.arguments | tojson "
    "}}}\n</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr const char* kThinks =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>\n{{ message.reasoning_content }}\n</think>\n\n"
    "{% endif %}{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// All deltas of one output put together as a client does.
struct Message {
    std::string content;
    std::string reasoning;
    std::vector<ToolCallDelta> calls;

    void add(const MessageDelta& delta) {
        content += delta.content;
        reasoning += delta.reasoning;
        for (const ToolCallDelta& part : delta.tool_calls) {
            const auto index = static_cast<size_t>(part.index);
            if (index == calls.size()) calls.push_back({part.index, "", "", ""});
            ASSERT_LT(index, calls.size());
            ToolCallDelta& call = calls[index];
            EXPECT_TRUE(part.id.empty() || call.id.empty()) << "id given twice";
            EXPECT_TRUE(part.name.empty() || call.name.empty()) << "name given twice";
            call.id += part.id;
            call.name += part.name;
            call.arguments += part.arguments;
        }
    }
};

class OutputParsers : public ::testing::Test {
protected:
    static void SetUpTestSuite() { model_ = load_vocab(bpe_vocab()); }
    static void TearDownTestSuite() { model_.reset(); }

    static std::unique_ptr<OutputParser> parser(const char* source, bool tools,
                                                bool parallel = false) {
        auto chat_template = ChatTemplate::create(model_.get(), source);
        EXPECT_TRUE(chat_template.ok());
        ChatRequest request;
        request.messages_json = R"([{"role": "user", "content": "x"}])";
        request.parallel_tool_calls = parallel;
        if (tools) {
            request.tools_json =
                R"([{"type": "function", "function": {"name": "weather", "parameters": )"
                R"({"type": "object", "properties": {"city": {"type": "string"}}, )"
                R"("required": ["city"]}}}])";
        }
        auto chat = (*chat_template)->render(request);
        EXPECT_TRUE(chat.ok()) << chat.error().message;
        return chat.ok() ? std::move(chat->parser) : nullptr;
    }

    // Pushes `text` in pieces of random length.
    static Message push_all(OutputParser& parser, const std::string& text, std::mt19937& random) {
        Message message;
        for (size_t at = 0; at < text.size();) {
            const size_t n_bytes = 1 + random() % 7;
            const auto delta = parser.push(std::string_view(text).substr(at, n_bytes), false);
            EXPECT_TRUE(delta.ok());
            message.add(*delta);
            at += n_bytes;
        }
        const auto delta = parser.push("", true);
        EXPECT_TRUE(delta.ok());
        message.add(*delta);
        return message;
    }

    static ModelPtr model_;
};
ModelPtr OutputParsers::model_;

TEST_F(OutputParsers, ContentStreamsStraightThrough) {
    const auto plain = parser("", /*tools=*/false);
    for (const char* piece : {"Hello", " ", "<tool_call>", "{", "\n"}) {
        const auto delta = plain->push(piece, false);
        ASSERT_TRUE(delta.ok());
        EXPECT_EQ(delta->content, piece);
        EXPECT_TRUE(delta->reasoning.empty());
        EXPECT_TRUE(delta->tool_calls.empty());
    }
    const auto last = plain->push("", true);
    ASSERT_TRUE(last.ok());
    EXPECT_TRUE(last->empty());
}

TEST_F(OutputParsers, ToolCallRoundTrip) {
    std::mt19937 random(std::random_device{}());
    const std::string call =
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    for (int round = 0; round < 10; ++round) {
        const auto parsing = parser(kTools, /*tools=*/true);
        const Message message = push_all(*parsing, call, random);
        EXPECT_EQ(message.content, "");
        ASSERT_EQ(message.calls.size(), 1u);
        EXPECT_EQ(message.calls[0].name, "weather");
        EXPECT_EQ(message.calls[0].arguments, "{\"city\": \"Paris\"}");
        EXPECT_FALSE(message.calls[0].id.empty());
    }
}

TEST_F(OutputParsers, ContentBeforeAToolCall) {
    std::mt19937 random(1);
    const auto parsing = parser(kTools, /*tools=*/true);
    const Message message = push_all(*parsing,
                                     "Let me look.\n<tool_call>\n{\"name\": \"weather\", "
                                     "\"arguments\": {\"city\": \"é🙂\"}}\n"
                                     "</tool_call>",
                                     random);
    EXPECT_TRUE(message.content.starts_with("Let me look.")) << message.content;
    EXPECT_EQ(message.content.find("tool_call"), std::string::npos);
    ASSERT_EQ(message.calls.size(), 1u);
    EXPECT_EQ(message.calls[0].arguments, "{\"city\": \"é🙂\"}");
}

TEST_F(OutputParsers, ParallelToolCalls) {
    std::mt19937 random(1);
    const auto parsing = parser(kTools, /*tools=*/true, /*parallel=*/true);
    const Message message = push_all(
        *parsing,
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"a\"}}\n</tool_call>\n"
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"b\"}}\n</tool_call>",
        random);
    ASSERT_EQ(message.calls.size(), 2u);
    EXPECT_EQ(message.calls[0].arguments, "{\"city\": \"a\"}");
    EXPECT_EQ(message.calls[1].arguments, "{\"city\": \"b\"}");
    EXPECT_NE(message.calls[0].id, message.calls[1].id);
}

TEST_F(OutputParsers, NoToolCallIsContent) {
    std::mt19937 random(1);
    const auto parsing = parser(kTools, /*tools=*/true);
    const Message message = push_all(*parsing, "Nothing to look up.", random);
    EXPECT_EQ(message.content, "Nothing to look up.");
    EXPECT_TRUE(message.calls.empty());
}

TEST_F(OutputParsers, OutputCutShortIsNoError) {
    std::mt19937 random(1);
    const std::string call =
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    for (size_t n_bytes = 1; n_bytes < call.size(); ++n_bytes) {
        const auto parsing = parser(kTools, /*tools=*/true);
        const Message message = push_all(*parsing, call.substr(0, n_bytes), random);
        EXPECT_LE(message.calls.size(), 1u);
        if (!message.calls.empty()) {
            const std::string whole = "{\"city\": \"Paris\"}";
            EXPECT_TRUE(whole.starts_with(message.calls[0].arguments))
                << message.calls[0].arguments;
        }
    }
}

TEST_F(OutputParsers, MalformedCallIsStillThere) {
    std::mt19937 random(1);
    const auto parsing = parser(kTools, /*tools=*/true);
    const std::string text = "<tool_call>\n{\"nonsense\": 1}\n</tool_call>";
    const Message message = push_all(*parsing, text, random);
    EXPECT_TRUE(message.calls.empty());
    EXPECT_EQ(message.content, text);
}

TEST_F(OutputParsers, ReasoningIsSetApart) {
    std::mt19937 random(1);
    const auto parsing = parser(kThinks, /*tools=*/false);
    const Message message =
        push_all(*parsing, "<think>\nHm, é.\n</think>\n\nThe answer is 4.", random);
    EXPECT_NE(message.reasoning.find("Hm, é."), std::string::npos);
    EXPECT_EQ(message.content, "The answer is 4.");

    const auto unthinking = parser(kThinks, /*tools=*/false);
    const Message plain = push_all(*unthinking, "The answer is 4.", random);
    EXPECT_EQ(plain.reasoning, "");
    EXPECT_EQ(plain.content, "The answer is 4.");
}

}  // namespace
}  // namespace spolia
