#include "broker/wire/request_options.h"

namespace spolia {
namespace {

// A completion's prompt has no parts. What stands behind its last blank line is taken for the
// question, what stands before it for documents, which the chunker cuts further.
std::vector<TextSpan> spans_of(std::string_view text) {
    const size_t last_character = text.find_last_not_of(" \t\r\n");
    const auto size = static_cast<uint32_t>(text.size());
    const size_t blank = last_character == std::string_view::npos
                             ? std::string_view::npos
                             : text.rfind("\n\n", last_character);
    if (blank == std::string_view::npos) return {{0, size, SegmentRole::kQuery}};
    const auto cut = static_cast<uint32_t>(blank + 2);
    return {{0, cut, SegmentRole::kChunk}, {cut, size, SegmentRole::kQuery}};
}

// Token ids given by the client, with the text that they stand for.
Parsed<TokenizedText> from_ids(const Json& ids, const TextModel& model) {
    TokenizedText prompt;
    prompt.tokens.reserve(ids.size());
    prompt.byte_begin.push_back(0);
    for (const Json& id : ids) {
        const bool valid = id.is_number_integer() && id >= 0 && id < model.n_vocab();
        if (!valid) {
            return bad_request("'prompt' must hold token ids from 0 to " +
                                   std::to_string(model.n_vocab() - 1) + " only",
                               "prompt");
        }
        prompt.tokens.push_back(id.get<Token>());
        prompt.text += model.piece(prompt.tokens.back());
        prompt.byte_begin.push_back(static_cast<uint32_t>(prompt.text.size()));
    }
    return prompt;
}

Parsed<TokenizedText> read_prompt(Fields& body, const TextModel& model) {
    const Json* prompt = body.any("prompt");
    const bool list = prompt != nullptr && prompt->is_array() && !prompt->empty();
    const bool wrapped = list && (prompt->front().is_string() || prompt->front().is_array());
    if (wrapped && prompt->size() > 1) {
        return bad_request("'prompt' must be one prompt: several in one request are not supported",
                           "prompt");
    }
    const Json* one = wrapped ? &prompt->front() : prompt;
    if (one != nullptr && one->is_string()) {
        Result<TokenizedText> tokens =
            model.tokenize(one->get_ref<const std::string&>(), true, true);
        if (!tokens.ok()) return prompt_error(tokens.error(), "prompt");
        return *std::move(tokens);
    }
    if (one != nullptr && one->is_array()) return from_ids(*one, model);
    return bad_request("'prompt' must be a string or an array of token ids", "prompt");
}

void refuse_fields(Fields& body) {
    if (body.boolean("echo").value_or(false)) body.fail("echo", "is not supported");
    if (const std::string* suffix = body.string("suffix"); suffix != nullptr && !suffix->empty()) {
        body.fail("suffix", "is not supported");
    }
    const Json* format = body.object("response_format");
    if (format != nullptr && format->value("type", Json()) != "text") {
        body.fail("response_format", "is for chat requests: give a 'grammar' instead");
    }
}

}  // namespace

Parsed<ParsedRequest> parse_completion_object(const Json& json, const RequestContext& context,
                                              ReadOptions read) {
    ParsedRequest request;
    request.surface = Surface::kCompletion;
    Fields body(json);
    read(body, context, request);
    refuse_fields(body);
    if (const std::string* grammar = body.string("grammar")) {
        request.generate.grammar.grammar = *grammar;
    }
    if (!body.ok()) return body.fault();

    Parsed<TokenizedText> prompt = read_prompt(body, context.text);
    if (!prompt.ok()) return prompt.error();
    if (prompt->tokens.empty()) return bad_request("'prompt' must not be empty", "prompt");
    request.generate.spans = spans_of(prompt->text);
    request.generate.prompt = std::move(*prompt);
    return request;
}

Parsed<ParsedRequest> parse_completion_request(std::string_view body,
                                               const RequestContext& context) {
    const Parsed<Json> json = parse_object(body, context.limits);
    if (!json.ok()) return json.error();
    return parse_completion_object(*json, context);
}

Parsed<ParsedRequest> parse_plan_request(std::string_view body, const RequestContext& context) {
    const Parsed<Json> json = parse_object(body, context.limits);
    if (!json.ok()) return json.error();
    return json->contains("messages") ? parse_chat_object(*json, context)
                                      : parse_completion_object(*json, context);
}

}  // namespace spolia
