#include "adapters/llama/chat_request.h"

#include <chat.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace spolia {
namespace {

// Deeper JSON would overflow the stack of the recursive code behind it.
constexpr int kJsonDepthMax = 100;

// Nesting of brackets outside of strings.
int json_depth(std::string_view text) {
    int depth = 0;
    int depth_max = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') {
                ++i;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth_max = std::max(depth_max, ++depth);
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return depth_max;
}

common_json parse_json(const std::string& text) {
    if (json_depth(text) > kJsonDepthMax) {
        throw std::invalid_argument("nested deeper than " + std::to_string(kJsonDepthMax));
    }
    return common_json::parse(text);
}

std::vector<common_chat_msg> parse_messages(const std::string& text) {
    std::vector<common_chat_msg> messages = common_chat_msgs_parse_oaicompat(parse_json(text));
    if (messages.empty()) throw std::invalid_argument("there must be at least one");
    for (const common_chat_msg& message : messages) {
        for (const auto& part : message.content_parts) {
            if (part.type != "text") {
                throw std::invalid_argument("content part of type '" + part.type +
                                            "'; only 'text' is supported");
            }
        }
    }
    return messages;
}

std::string parse_schema(const std::string& text) {
    common_json schema = parse_json(text);
    if (schema.is_object() && schema.empty()) schema["type"] = "object";
    return schema.dump();
}

bool parse_bool(const std::string& text) {
    const common_json value = parse_json(text);
    if (!value.is_boolean()) throw std::invalid_argument("must be true or false");
    return value.get<bool>();
}

// Sets `field`, the request's member of that name, in front of what goes wrong with it.
template <class Parse>
void parse_field(const std::string& field, const Parse& parse) {
    try {
        parse();
    } catch (const std::exception& error) {
        throw std::invalid_argument("'" + field + "': " + error.what());
    }
}

common_chat_templates_inputs parse(const ChatRequest& request) {
    common_chat_templates_inputs inputs;
    inputs.use_jinja = true;
    inputs.add_generation_prompt = request.add_generation_prompt;
    inputs.parallel_tool_calls = request.parallel_tool_calls;
    inputs.grammar = request.grammar;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    inputs.enable_thinking = false;
    parse_field("messages", [&] { inputs.messages = parse_messages(request.messages_json); });
    parse_field("tools", [&] {
        if (request.tools_json.empty()) return;
        inputs.tools = common_chat_tools_parse_oaicompat(parse_json(request.tools_json));
    });
    parse_field("tool_choice", [&] {
        if (request.tool_choice.empty()) return;
        inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(request.tool_choice);
    });
    parse_field("response_format", [&] {
        if (!request.json_schema.empty()) inputs.json_schema = parse_schema(request.json_schema);
    });
    if (!inputs.json_schema.empty() && !inputs.grammar.empty()) {
        throw std::invalid_argument("'grammar' and 'response_format' exclude each other");
    }
    for (const auto& [name, value] : request.template_kwargs) {
        parse_field("chat_template_kwargs." + name, [&] {
            if (name == "enable_thinking") inputs.enable_thinking = parse_bool(value);
            inputs.chat_template_kwargs[name] = parse_json(value).dump();
        });
    }
    return inputs;
}

}  // namespace

Result<common_chat_templates_inputs> parse_chat_request(const ChatRequest& request) {
    try {
        return parse(request);
    } catch (const std::exception& error) {
        return Error{ErrorCode::kInvalidArgument, error.what()};
    }
}

}  // namespace spolia
