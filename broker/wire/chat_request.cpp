#include <algorithm>

#include "broker/wire/request_options.h"
#include "broker/wire/retrieval_fields.h"
#include "index/lines.h"
#include "index/span_map.h"

namespace spolia {
namespace {

constexpr size_t kMessageMembersMax = 64;

// Content is text, or an array of parts that are.
void check_content(Fields& message, const Json& content) {
    if (content.is_string()) return;
    if (!content.is_array()) {
        return message.fail("content", "must be a string or an array of text parts");
    }
    for (size_t i = 0; i < content.size(); ++i) {
        const std::string name = "content[" + std::to_string(i) + "]";
        if (!content[i].is_object()) return message.fail(name, "must be an object");
        Fields part(content[i], message.path_of(name));
        const std::string* type = part.string("type");
        if (type == nullptr) {
            part.fail("type", "must be a string");
        } else if (*type != "text") {
            part.fail("type", "must be text: this model takes no other parts");
        } else if (part.string("text") == nullptr) {
            part.fail("text", "must be a string");
        }
        message.adopt(part);
    }
}

void check_message(Fields& message, const Json& json) {
    const std::string* role = message.string("role");
    if (role == nullptr || role->empty()) return message.fail("role", "must be a role's name");
    if (json.size() > kMessageMembersMax) return message.fail("", "has too many members");
    const Json* content = message.any("content");
    const Json* tool_calls = message.array("tool_calls");
    if (content != nullptr) {
        check_content(message, *content);
    } else if (*role != "assistant" || tool_calls == nullptr) {
        message.fail("content",
                     *role == "assistant" ? "is required without tool_calls" : "is required");
    }
}

void read_messages(Fields& body, ChatRequest& chat) {
    const Json* messages = body.array("messages");
    if (messages == nullptr || messages->empty()) {
        return body.fail("messages", "must be an array of at least one message");
    }
    for (size_t i = 0; i < messages->size() && body.ok(); ++i) {
        const std::string name = "messages[" + std::to_string(i) + "]";
        if (!(*messages)[i].is_object()) return body.fail(name, "must be an object");
        Fields message((*messages)[i], name);
        check_message(message, (*messages)[i]);
        body.adopt(message);
    }
    if (body.ok()) chat.messages_json = dump(*messages);
}

std::string tool_name(const Json& tool) {
    const auto function = tool.find("function");
    if (function == tool.end() || !function->is_object()) return {};
    const auto name = function->find("name");
    return name == function->end() || !name->is_string() ? std::string() : name->get<std::string>();
}

void check_tools(Fields& body, const Json& tools) {
    for (size_t i = 0; i < tools.size(); ++i) {
        const std::string name = "tools[" + std::to_string(i) + "]";
        if (!tools[i].is_object()) return body.fail(name, "must be an object");
        Fields tool(tools[i], name);
        const std::string* type = tool.string("type");
        if (type == nullptr || *type != "function") tool.fail("type", "must be function");
        if (tool_name(tools[i]).empty()) tool.fail("function.name", "must be a function's name");
        body.adopt(tool);
    }
}

// The choice of one function is a request that requires a tool and has no other.
void choose_function(Fields& body, const Json& choice, Json& tools, ChatRequest& chat) {
    const std::string wanted = tool_name(choice);
    if (wanted.empty()) {
        return body.fail("tool_choice", "must be auto, required, none or {type, function: {name}}");
    }
    const auto found = std::find_if(tools.begin(), tools.end(),
                                    [&](const Json& tool) { return tool_name(tool) == wanted; });
    if (found == tools.end()) return body.fail("tool_choice", "names a function not in 'tools'");
    tools = Json::array({Json(*found)});
    chat.tool_choice = "required";
}

void read_tools(Fields& body, ChatRequest& chat) {
    Json tools = Json::array();
    if (const Json* given = body.array("tools")) {
        check_tools(body, *given);
        tools = *given;
    }
    chat.tool_choice = "auto";
    if (const Json* choice = body.any("tool_choice"); choice != nullptr && body.ok()) {
        if (choice->is_object()) {
            choose_function(body, *choice, tools, chat);
        } else if (*choice == "auto" || *choice == "required" || *choice == "none") {
            chat.tool_choice = choice->get<std::string>();
        } else {
            body.fail("tool_choice", "must be auto, required, none or {type, function: {name}}");
        }
    }
    if (tools.empty() && chat.tool_choice == "required") {
        body.fail("tool_choice", "asks for a tool, but 'tools' has none");
    }
    if (!tools.empty()) chat.tools_json = dump(tools);
    chat.parallel_tool_calls = body.boolean("parallel_tool_calls").value_or(false);
}

// The schema that the answer must meet; "{}" for any JSON object.
void read_response_format(Fields& body, ChatRequest& chat) {
    const Json* object = body.object("response_format");
    if (object == nullptr) return;
    Fields format(*object, "response_format");
    const std::string* type = format.string("type");
    if (type == nullptr) {
        format.fail("type", "must be text, json_object or json_schema");
    } else if (*type == "json_object") {
        const Json* schema = format.object("schema");
        chat.json_schema = schema == nullptr ? "{}" : dump(*schema);
    } else if (*type == "json_schema") {
        const Json* wrapper = format.object("json_schema");
        if (wrapper == nullptr) {
            format.fail("json_schema", "is required with this type");
        } else {
            Fields inner(*wrapper, "response_format.json_schema");
            const Json* schema = inner.object("schema");
            if (schema == nullptr)
                inner.fail("schema", "is required");
            else
                chat.json_schema = dump(*schema);
            format.adopt(inner);
        }
    } else if (*type != "text") {
        format.fail("type", "must be text, json_object or json_schema");
    }
    body.adopt(format);
}

void read_template_options(Fields& body, ChatRequest& chat) {
    if (const std::string* grammar = body.string("grammar")) chat.grammar = *grammar;
    if (!chat.grammar.empty() && !chat.json_schema.empty()) {
        body.fail("grammar", "can't be used together with a response_format");
    }
    chat.add_generation_prompt = body.boolean("add_generation_prompt").value_or(true);
    if (const Json* options = body.object("chat_template_kwargs")) {
        for (const auto& [key, value] : options->items()) chat.template_kwargs[key] = dump(value);
    }
}

ChatRequest read_chat(Fields& body) {
    ChatRequest chat;
    read_messages(body, chat);
    read_tools(body, chat);
    read_response_format(body, chat);
    read_template_options(body, chat);
    return chat;
}

// `retrieve` alone of the spolia object.
std::optional<Retrieval> read_retrieval_only(Fields& body) {
    const Json* object = body.object("spolia");
    if (object == nullptr) return std::nullopt;
    Fields spolia(*object, "spolia");
    std::optional<Retrieval> wanted = read_retrieval(spolia);
    body.adopt(spolia);
    return wanted;
}

// The chunks that the request asks for, which are put into its messages.
Parsed<std::vector<RetrievedChunk>> retrieve(const Json& messages, const RequestContext& context,
                                             ParsedRequest& request, ChatRequest& chat) {
    constexpr const char* kField = "spolia.retrieve";
    Retrieval& wanted = *request.retrieval;
    const std::string text = last_user_text(messages);
    if (trim_spaces(text).empty()) {
        return bad_request("'messages' have no text of a user to retrieve for", "messages");
    }
    if (wanted.query.empty()) wanted.query = text;
    if (!context.retrieve) {
        return bad_request(
            "nothing can be retrieved here: there are no collections, or a llama-server answers",
            kField, "not_supported");
    }
    Result<std::vector<RetrievedChunk>> chunks = context.retrieve(wanted);
    if (!chunks.ok()) return retrieval_error(chunks.error(), std::string(kField) + ".");
    put_in_order(*chunks, wanted);
    request.retrieved.emplace();
    for (const auto& [chunk, score] : *chunks) {
        request.retrieved->push_back({chunk.key, chunk.source, chunk.heading, score});
    }
    chat.messages_json = dump(with_retrieved(messages, *chunks));
    return *std::move(chunks);
}

int32_t count_tokens_of(std::span<const RetrievedChunk> chunks, const TokenizedText& prompt) {
    if (!has_usable_offsets(prompt)) return 0;
    int32_t n_tokens = 0;
    size_t end = 0;
    for (const RetrievedChunk& each : chunks) {
        const std::string_view text = trim_spaces(each.chunk.text);  // as some templates do
        const size_t begin = prompt.text.find(text, end);
        if (begin == prompt.text.npos) continue;
        end = begin + text.size();
        const TextRange range{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
        n_tokens += tokens_inside(prompt, range).size();
    }
    return n_tokens;
}

}  // namespace

Parsed<ParsedRequest> parse_chat_object(const Json& json, const RequestContext& context,
                                        ReadOptions read) {
    ParsedRequest request;
    request.surface = Surface::kChat;
    Fields body(json);
    read(body, context, request);
    ChatRequest chat = read_chat(body);
    if (!body.ok()) return body.fault();
    std::vector<RetrievedChunk> chunks;
    if (request.retrieval) {
        Parsed<std::vector<RetrievedChunk>> found =
            retrieve(json["messages"], context, request, chat);
        if (!found.ok()) return found.error();
        chunks = std::move(*found);
    }

    Result<RenderedChat> rendered = context.text.render(chat);
    if (!rendered.ok()) return prompt_error(rendered.error(), "messages");
    Result<TokenizedText> tokens = context.text.tokenize(rendered->text, true, true);
    if (!tokens.ok()) return prompt_error(tokens.error(), "messages");
    if (tokens->tokens.empty())
        return bad_request("'messages' render to an empty prompt", "messages");
    request.n_retrieved_tokens = count_tokens_of(chunks, *tokens);

    GenerateRequest& generate = request.generate;
    generate.prompt = *std::move(tokens);
    generate.spans = std::move(rendered->spans);
    generate.grammar = std::move(rendered->grammar);
    generate.stops.insert(generate.stops.end(), rendered->stops.begin(), rendered->stops.end());
    request.parser = std::move(rendered->parser);
    return request;
}

Parsed<ParsedRequest> parse_chat_request(std::string_view body, const RequestContext& context) {
    const Parsed<Json> json = parse_object(body, context.limits);
    if (!json.ok()) return json.error();
    return parse_chat_object(*json, context);
}

ApiError submit_error(const Error& error, const ParsedRequest& request) {
    ApiError shown = api_error(error);
    if (error.code != ErrorCode::kContextTooLong || !request.retrieval) return shown;
    const std::string n_tokens =
        request.n_retrieved_tokens == 0 ? "" : std::to_string(request.n_retrieved_tokens) + " ";
    shown.message += "; " + n_tokens + "tokens are of retrieved chunks: lower spolia.retrieve.k (" +
                     std::to_string(request.retrieval->k) + "), or give the server more --ctx-size";
    shown.param = "spolia.retrieve.k";
    return shown;
}

Parsed<std::string> render_prompt(std::string_view text, const RequestContext& context) {
    const Parsed<Json> json = parse_object(text, context.limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    ParsedRequest request;
    ChatRequest chat = read_chat(body);
    request.retrieval = read_retrieval_only(body);
    if (!body.ok()) return body.fault();
    if (request.retrieval) {
        const auto found = retrieve((*json)["messages"], context, request, chat);
        if (!found.ok()) return found.error();
    }
    Result<RenderedChat> rendered = context.text.render(chat);
    if (!rendered.ok()) return prompt_error(rendered.error(), "messages");
    Json response = {{"prompt", rendered->text}};
    if (request.retrieved) {
        response["spolia"]["retrieved"] = retrieved_sources_json(*request.retrieved);
    }
    return dump(response);
}

}  // namespace spolia
