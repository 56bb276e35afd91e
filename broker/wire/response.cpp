#include "broker/wire/response.h"

#include "broker/wire/receipt.h"
#include "broker/wire/retrieval_fields.h"

namespace spolia {
namespace {

Json envelope(const ResponseHead& head, const char* chat_object, const char* completion_object) {
    return {
        {"id", head.id},
        {"object", head.surface == Surface::kChat ? chat_object : completion_object},
        {"created", head.created},
        {"model", head.model},
    };
}

Json chunk(const ResponseHead& head, Json choices) {
    Json json = envelope(head, "chat.completion.chunk", "text_completion");
    json["choices"] = std::move(choices);
    return json;
}

Json chat_choice(Json delta, Json finish_reason) {
    return Json::array({{{"index", 0},
                         {"delta", std::move(delta)},
                         {"logprobs", nullptr},
                         {"finish_reason", std::move(finish_reason)}}});
}

Json completion_choice(const std::string& text, Json finish_reason) {
    return Json::array({{{"index", 0},
                         {"text", text},
                         {"logprobs", nullptr},
                         {"finish_reason", std::move(finish_reason)}}});
}

Json spolia_json(const ResponseHead& head, const GenerateOutcome& outcome) {
    Json json = receipt_json(outcome.receipt);
    if (head.retrieved) json["retrieved"] = retrieved_sources_json(*head.retrieved);
    return json;
}

// A call that was made outweighs how the text after it ended, except where it was cut off.
std::string_view finish_name(FinishReason finish, bool has_tool_calls) {
    if (finish == FinishReason::kStop && has_tool_calls) finish = FinishReason::kToolCalls;
    if (finish == FinishReason::kCancelled) finish = FinishReason::kStop;
    return to_string(finish);
}

Json delta_call(const ToolCallDelta& call) {
    Json json = {{"index", call.index}};
    if (!call.id.empty()) json["id"] = call.id;
    if (!call.name.empty()) json["type"] = "function";
    Json function = Json::object();
    if (!call.name.empty()) function["name"] = call.name;
    function["arguments"] = call.arguments;
    json["function"] = std::move(function);
    return json;
}

Json message_json(const AnswerMessage& message) {
    const bool only_calls = message.has_tool_calls() && message.content().empty();
    Json json = {{"role", "assistant"}, {"content", only_calls ? Json() : Json(message.content())}};
    if (!message.reasoning().empty()) json["reasoning_content"] = message.reasoning();
    if (message.has_tool_calls()) {
        Json calls = Json::array();
        for (const ToolCallDelta& call : message.tool_calls()) {
            calls.push_back({{"id", call.id},
                             {"type", "function"},
                             {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
        }
        json["tool_calls"] = std::move(calls);
    }
    return json;
}

}  // namespace

void AnswerMessage::append(const MessageDelta& delta) {
    content_ += delta.content;
    reasoning_ += delta.reasoning;
    for (const ToolCallDelta& part : delta.tool_calls) {
        const bool known = !tool_calls_.empty() && tool_calls_.back().index == part.index;
        ToolCallDelta& call = known ? tool_calls_.back() : tool_calls_.emplace_back();
        call.index = part.index;
        call.id += part.id;
        call.name += part.name;
        call.arguments += part.arguments;
    }
}

std::string whole_response(const ResponseHead& head, const AnswerMessage& message,
                           const GenerateOutcome& outcome) {
    Json json = envelope(head, "chat.completion", "text_completion");
    const std::string_view finish = finish_name(outcome.finish, message.has_tool_calls());
    if (head.surface == Surface::kChat) {
        json["choices"] = Json::array({{{"index", 0},
                                        {"message", message_json(message)},
                                        {"logprobs", nullptr},
                                        {"finish_reason", finish}}});
    } else {
        json["choices"] = completion_choice(message.content(), finish);
    }
    json["usage"] = usage_json(outcome);
    json["timings"] = timings_json(outcome);
    json["spolia"] = spolia_json(head, outcome);
    return dump(json);
}

std::string role_chunk(const ResponseHead& head) {
    return dump(chunk(head, chat_choice({{"role", "assistant"}, {"content", ""}}, nullptr)));
}

std::string delta_chunk(const ResponseHead& head, const MessageDelta& delta) {
    if (head.surface == Surface::kCompletion) {
        return dump(chunk(head, completion_choice(delta.content, nullptr)));
    }
    Json json = Json::object();
    if (!delta.content.empty()) json["content"] = delta.content;
    if (!delta.reasoning.empty()) json["reasoning_content"] = delta.reasoning;
    for (const ToolCallDelta& call : delta.tool_calls)
        json["tool_calls"].push_back(delta_call(call));
    return dump(chunk(head, chat_choice(std::move(json), nullptr)));
}

std::string finish_chunk(const ResponseHead& head, bool has_tool_calls,
                         const GenerateOutcome& outcome) {
    const std::string_view finish = finish_name(outcome.finish, has_tool_calls);
    Json json = chunk(head, head.surface == Surface::kChat ? chat_choice(Json::object(), finish)
                                                           : completion_choice("", finish));
    json["timings"] = timings_json(outcome);
    json["spolia"] = spolia_json(head, outcome);
    return dump(json);
}

std::string usage_chunk(const ResponseHead& head, const GenerateOutcome& outcome) {
    Json json = chunk(head, Json::array());
    json["usage"] = usage_json(outcome);
    return dump(json);
}

}  // namespace spolia
