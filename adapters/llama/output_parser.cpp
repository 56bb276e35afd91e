#include "adapters/llama/output_parser.h"

#include <chat.h>
#include <json.h>

#include <exception>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spolia {
namespace {

std::string random_call_id() {
    constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz";
    constexpr size_t kRandomBytes = 24;
    std::random_device entropy;
    std::uniform_int_distribution<size_t> any(0, kAlphabet.size() - 1);
    std::string id = "call_";
    for (size_t i = 0; i < kRandomBytes; ++i) id.push_back(kAlphabet[any(entropy)]);
    return id;
}

// Output without structure: all of it is content.
class ContentParser final : public OutputParser {
public:
    Result<MessageDelta> push(std::string_view text, bool /*final*/) override {
        MessageDelta delta;
        delta.content = text;
        return delta;
    }
};

// What has been handed out of a text that grows from parse to parse.
class SentText {
public:
    // What `now` has behind it. A text that was read otherwise before gives nothing: what is out
    // can't be taken back.
    std::string advance(const std::string& now) {
        if (!now.starts_with(sent_)) return {};
        std::string news = now.substr(sent_.size());
        sent_ = now;
        return news;
    }
    bool empty() const { return sent_.empty(); }

private:
    std::string sent_;
};

// Parses the whole output anew with each piece, as llama.cpp's parsers keep no state.
class StructuredParser final : public OutputParser {
public:
    explicit StructuredParser(const common_chat_params& chat) : syntax_(chat) {
        syntax_.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
        if (!chat.parser.empty()) syntax_.parser.load(chat.parser);
    }

    Result<MessageDelta> push(std::string_view text, bool final) override {
        output_ += text;
        MessageDelta delta;
        if (const std::optional<common_chat_msg> message = parse(final)) {
            delta.reasoning = reasoning_.advance(message->reasoning_content);
            delta.content = content_.advance(message->content);
            add_calls(message->tool_calls, final, delta);
        }
        if (final && nothing_sent()) delta.content = output_;
        return delta;
    }

private:
    struct SentCall {
        bool begun = false;
        SentText arguments;
    };

    // Output that was cut short is no whole message, but its parts are worth having.
    std::optional<common_chat_msg> parse(bool final) const {
        std::optional<common_chat_msg> message;
        if (final) message = try_parse(/*is_partial=*/false);
        return message ? message : try_parse(/*is_partial=*/true);
    }

    std::optional<common_chat_msg> try_parse(bool is_partial) const {
        try {
            return common_chat_parse(output_, is_partial, syntax_);
        } catch (const std::exception&) {
            return std::nullopt;
        }
    }

    void add_calls(const std::vector<common_chat_tool_call>& calls, bool final,
                   MessageDelta& delta) {
        if (calls.size() > calls_.size()) calls_.resize(calls.size());
        for (size_t i = 0; i < calls.size(); ++i) {
            const common_chat_tool_call& call = calls[i];
            // Before that the name may still grow.
            const bool name_is_whole = !call.arguments.empty() || i + 1 < calls.size() || final;
            if (call.name.empty() || !name_is_whole) continue;
            ToolCallDelta part;
            part.index = static_cast<int32_t>(i);
            const bool begins = !std::exchange(calls_[i].begun, true);
            if (begins) {
                part.id = call.id.empty() ? random_call_id() : call.id;
                part.name = call.name;
            }
            part.arguments = calls_[i].arguments.advance(call.arguments);
            if (begins || !part.arguments.empty()) delta.tool_calls.push_back(std::move(part));
        }
    }

    bool nothing_sent() const {
        return content_.empty() && reasoning_.empty() && (calls_.empty() || !calls_[0].begun);
    }

    common_chat_parser_params syntax_;
    std::string output_;
    SentText content_;
    SentText reasoning_;
    std::vector<SentCall> calls_;
};

// Whether the chat's parser, which llama.cpp hands over as a serialized tree, takes everything
// behind the prompt for content: a sequence of the prompt's end, a tag "content" without an end
// mark, the end, and nothing else.
bool is_content_only(const common_chat_params& chat) {
    if (chat.parser.empty()) return true;
    const common_json tree = common_json::parse(chat.parser);
    const common_json& nodes = tree.at("parsers");
    const auto type_of = [](const common_json& node) { return node.at("type").get<std::string>(); };
    const common_json& root = nodes.at(tree.at("root").get<size_t>());
    if (type_of(root) != "sequence") return false;
    bool has_content = false;
    for (const common_json& child : root.at("children")) {
        const common_json& node = nodes.at(child.get<size_t>());
        const std::string type = type_of(node);
        if (type == "literal") {
            if (has_content || node.at("literal") != chat.generation_prompt) return false;
        } else if (type == "tag") {
            const common_json& tagged = nodes.at(node.at("child").get<size_t>());
            has_content = node.at("tag") == "content" && type_of(tagged) == "until" &&
                          tagged.at("delimiters").empty();
            if (!has_content) return false;
        } else if (type != "epsilon" && type != "end") {
            return false;
        }
    }
    return has_content;
}

}  // namespace

std::unique_ptr<OutputParser> make_output_parser(const common_chat_params& chat) {
    if (is_content_only(chat)) return std::make_unique<ContentParser>();
    return std::make_unique<StructuredParser>(chat);
}

}  // namespace spolia
