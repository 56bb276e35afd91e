#include "adapters/llama/chat_template.h"

#include <chat.h>
#include <json-schema-to-grammar.h>
#include <llama.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "adapters/llama/chat_request.h"
#include "adapters/llama/content_spans.h"
#include "adapters/llama/output_parser.h"

namespace spolia {
namespace {

// Jinja's errors quote the template over several lines. What a template itself raises comes last
// and is meant for the user.
std::string one_line(std::string_view text) {
    constexpr std::string_view kRaised = "Jinja Exception: ";
    if (const size_t at = text.rfind(kRaised); at != text.npos) {
        text.remove_prefix(at + kRaised.size());
    }
    std::string line;
    for (const char c : text) {
        const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (!space) {
            line.push_back(c);
        } else if (!line.empty() && line.back() != ' ') {
            line.push_back(' ');
        }
    }
    return line;
}

Error invalid(std::string_view what, const std::exception& error) {
    return {ErrorCode::kInvalidArgument, std::string(what) + ": " + one_line(error.what())};
}

// llama.cpp throws away what is wrong with a template, so parse it for the message.
std::optional<std::string> syntax_error(const std::string& source) {
    try {
        jinja::lexer lexer;
        const jinja::lexer_result tokens = lexer.tokenize(source);
        jinja::parse_from_tokens(tokens);
        return std::nullopt;
    } catch (const std::exception& error) {
        return one_line(error.what());
    }
}

// Texts of the messages in order, with a way to set others in their places.
class MessageParts {
public:
    explicit MessageParts(std::vector<common_chat_msg> messages) : messages_(std::move(messages)) {
        for (const common_chat_msg& message : messages_) {
            if (message.content_parts.empty()) add(message.role, message.content);
            for (const auto& part : message.content_parts) add(message.role, part.text);
            if (message.role == "user") query_ = parts_.size() - 1;
        }
    }

    const std::vector<ContentPart>& parts() const { return parts_; }

    // The first part that is always computed: the last one of the last user message, else the
    // last one of all.
    size_t query() const { return query_.value_or(parts_.size() - 1); }

    std::vector<common_chat_msg> with_texts(const std::vector<std::string>& texts) const {
        std::vector<common_chat_msg> messages = messages_;
        size_t next = 0;
        for (common_chat_msg& message : messages) {
            if (message.content_parts.empty()) message.content = texts[next++];
            for (auto& part : message.content_parts) part.text = texts[next++];
        }
        return messages;
    }

private:
    void add(const std::string& role, const std::string& text) { parts_.push_back({text, role}); }

    std::vector<common_chat_msg> messages_;
    std::vector<ContentPart> parts_;
    std::optional<size_t> query_;
};

SegmentRole segment_role(const std::string& message_role) {
    const bool fixed = message_role == "system" || message_role == "developer";
    return fixed ? SegmentRole::kFixed : SegmentRole::kChunk;
}

std::vector<TextSpan> spans_of(const MessageParts& message_parts, size_t text_bytes,
                               const std::vector<PlacedPart>& placed) {
    std::vector<TextSpan> spans;
    for (const PlacedPart& place : placed) {
        if (place.part >= message_parts.query()) {
            const auto end = static_cast<uint32_t>(text_bytes);
            spans.push_back({place.begin, end, SegmentRole::kQuery});
            break;
        }
        if (place.begin == place.end) continue;
        const std::string& role = message_parts.parts()[place.part].role;
        spans.push_back({place.begin, place.end, segment_role(role)});
    }
    return spans;
}

std::string anchored(const std::string& pattern) {
    if (pattern.empty()) return "^$";
    return (pattern.front() == '^' ? "" : "^") + pattern + (pattern.back() == '$' ? "" : "$");
}

void add_trigger(const llama_vocab* vocab, const common_grammar_trigger& trigger,
                 GrammarSpec& spec) {
    switch (trigger.type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
            spec.trigger_tokens.push_back(trigger.token);
            return;
        case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: {
            const std::vector<llama_token> tokens = common_tokenize(
                vocab, trigger.value, /*add_special=*/false, /*parse_special=*/true);
            if (tokens.size() == 1) {
                spec.trigger_tokens.push_back(tokens.front());
            } else {
                spec.trigger_patterns.push_back(regex_escape(trigger.value));
            }
            return;
        }
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
            spec.trigger_patterns.push_back(trigger.value);
            return;
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
            spec.trigger_patterns.push_back(anchored(trigger.value));
            return;
    }
}

GrammarSpec grammar_of(const llama_vocab* vocab, const common_chat_params& chat,
                       const common_chat_templates_inputs& inputs) {
    GrammarSpec spec;
    if (chat.grammar.empty()) {
        spec.grammar = inputs.json_schema.empty()
                           ? inputs.grammar
                           : json_schema_to_grammar(common_json::parse(inputs.json_schema));
        return spec;
    }
    spec.grammar = chat.grammar;
    spec.lazy = chat.grammar_lazy;
    if (!spec.lazy) {
        spec.prefix = chat.generation_prompt;
        return spec;
    }
    for (const common_grammar_trigger& trigger : chat.grammar_triggers) {
        add_trigger(vocab, trigger, spec);
    }
    const bool never_applies = spec.trigger_tokens.empty() && spec.trigger_patterns.empty();
    return never_applies ? GrammarSpec() : spec;
}

// The template's markers hardly depend on the request; a plain one with a tool shows them.
std::vector<std::string> find_markers(const common_chat_templates* templates) {
    common_chat_templates_inputs inputs;
    inputs.messages.resize(1);
    inputs.messages[0].role = "user";
    inputs.messages[0].content = "x";
    inputs.tools = {{"f", "", R"({"type": "object", "properties": {}})"}};
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    try {
        return common_chat_templates_apply(templates, inputs).preserved_tokens;
    } catch (const std::exception&) {
        return {};
    }
}

}  // namespace

void ChatTemplate::TemplatesDeleter::operator()(common_chat_templates* templates) const {
    common_chat_templates_free(templates);
}

ChatTemplate::ChatTemplate(const llama_vocab* vocab, Templates templates)
    : vocab_(vocab), templates_(std::move(templates)), markers_(find_markers(templates_.get())) {}

ChatTemplate::~ChatTemplate() = default;

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::create(const llama_model* model,
                                                           const std::string& override_source) {
    const char* own_source = llama_model_chat_template(model, nullptr);
    const std::string source =
        override_source.empty() && own_source != nullptr ? own_source : override_source;
    const std::string name =
        override_source.empty() ? "the model's chat template" : "the given chat template";
    if (const std::optional<std::string> problem = syntax_error(source)) {
        return Error{ErrorCode::kInvalidArgument,
                     name + " can't be parsed (" + *problem + "); give a Jinja template that can"};
    }
    try {
        Templates templates(common_chat_templates_init(model, override_source).release());
        const llama_vocab* vocab = llama_model_get_vocab(model);
        return std::unique_ptr<ChatTemplate>(new ChatTemplate(vocab, std::move(templates)));
    } catch (const std::exception& error) {
        return invalid(name + " can't be used", error);
    }
}

bool ChatTemplate::is_explicit() const {
    return common_chat_templates_was_explicit(templates_.get());
}

Result<RenderedChat> ChatTemplate::render(const ChatRequest& request) const {
    Result<common_chat_templates_inputs> inputs = parse_chat_request(request);
    if (!inputs) return std::move(inputs).error();
    try {
        const common_chat_params chat = common_chat_templates_apply(templates_.get(), *inputs);
        if (inputs->tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED && chat.grammar.empty()) {
            return Error{ErrorCode::kInvalidArgument,
                         "'tool_choice': the model's chat template knows no tools, so none can be "
                         "required; give a template that does, or ask for \"auto\""};
        }
        const MessageParts message_parts(inputs->messages);
        const auto render_with = [&](const std::vector<std::string>& texts) -> Result<std::string> {
            common_chat_templates_inputs substituted = *inputs;
            substituted.messages = message_parts.with_texts(texts);
            try {
                return common_chat_templates_apply(templates_.get(), substituted).prompt;
            } catch (const std::exception& error) {
                return invalid("chat template", error);
            }
        };
        RenderedChat rendered;
        rendered.text = chat.prompt;
        rendered.spans = spans_of(message_parts, chat.prompt.size(),
                                  locate_parts(message_parts.parts(), chat.prompt, render_with));
        rendered.grammar = grammar_of(vocab_, chat, *inputs);
        rendered.stops = chat.additional_stops;
        rendered.parser = make_output_parser(chat);
        return rendered;
    } catch (const std::exception& error) {
        return invalid("chat template", error);
    }
}

}  // namespace spolia
