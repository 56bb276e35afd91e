#include "broker/http/reply.h"

namespace spolia {
namespace {

Result<MessageDelta> parse(OutputParser* parser, std::string_view text, bool final) {
    if (parser != nullptr) return parser->push(text, final);
    MessageDelta delta;
    delta.content = text;
    return delta;
}

std::string sse(const std::string& json) { return "data: " + json + "\n\n"; }

// A client that is still there did not cancel: the server did, because it stops.
Error stopping() { return Error{ErrorCode::kCancelled, "the server is stopping; try again later"}; }

}  // namespace

// exact + reused + computed are all tokens of the prompt; mended ones count as computed.
HttpHeaders receipt_headers(const Receipt& receipt) {
    const int32_t reused = receipt.n_shifted + receipt.n_anchored + receipt.n_donor;
    HttpHeaders headers = {
        {"x-spolia-policy", receipt.policy},
        {"x-spolia-exact", std::to_string(receipt.n_exact)},
        {"x-spolia-reused", std::to_string(reused)},
        {"x-spolia-computed", std::to_string(receipt.n_blended + receipt.n_computed)},
    };
    if (!receipt.fallback.empty()) headers.emplace_back("x-spolia-fallback", receipt.fallback);
    return headers;
}

WholeReply::WholeReply(ResponseHead head, std::unique_ptr<OutputParser> parser)
    : head_(std::move(head)), parser_(std::move(parser)) {}

std::optional<HttpResponse> WholeReply::take(const GenerationEvent& event) {
    if (const auto* outcome = std::get_if<GenerateOutcome>(&event)) return finish(*outcome);
    if (const auto* error = std::get_if<Error>(&event)) return error_response(api_error(*error));
    if (const auto* text = std::get_if<TextEvent>(&event)) {
        const Result<MessageDelta> delta = parse(parser_.get(), text->text, false);
        if (!delta.ok()) return error_response(api_error(delta.error()));
        message_.append(*delta);
    }
    return std::nullopt;
}

HttpResponse WholeReply::finish(const GenerateOutcome& outcome) {
    if (outcome.finish == FinishReason::kCancelled) return error_response(api_error(stopping()));
    const Result<MessageDelta> delta = parse(parser_.get(), {}, true);
    if (!delta.ok()) return error_response(api_error(delta.error()));
    message_.append(*delta);
    HttpResponse response;
    response.body = whole_response(head_, message_, outcome);
    response.headers = receipt_headers(outcome.receipt);
    return response;
}

StreamReply::StreamReply(ResponseHead head, std::unique_ptr<OutputParser> parser,
                         bool include_usage)
    : head_(std::move(head)), parser_(std::move(parser)), include_usage_(include_usage) {}

HttpResponse StreamReply::header(const GenerationEvent& first) {
    if (const auto* error = std::get_if<Error>(&first)) return error_response(api_error(*error));
    HttpResponse response;
    response.content_type = "text/event-stream";
    response.headers = {{"Cache-Control", "no-cache"}};
    const auto* outcome = std::get_if<GenerateOutcome>(&first);
    const auto* receipt = outcome != nullptr ? &outcome->receipt : std::get_if<Receipt>(&first);
    if (receipt != nullptr) {
        for (auto& header : receipt_headers(*receipt))
            response.headers.push_back(std::move(header));
    }
    return response;
}

std::string StreamReply::take(const GenerationEvent& event) {
    std::string bytes;
    if (!started_ && head_.surface == Surface::kChat) bytes = sse(role_chunk(head_));
    started_ = true;
    if (const auto* part = std::get_if<TextEvent>(&event)) bytes += text(part->text);
    if (const auto* outcome = std::get_if<GenerateOutcome>(&event)) bytes += finish(*outcome);
    if (const auto* error = std::get_if<Error>(&event)) bytes += fail(*error);
    return bytes;
}

std::string StreamReply::text(std::string_view text) {
    const Result<MessageDelta> delta = parse(parser_.get(), text, false);
    return delta.ok() ? delta_event(*delta) : fail(delta.error());
}

std::string StreamReply::finish(const GenerateOutcome& outcome) {
    if (outcome.finish == FinishReason::kCancelled) return fail(stopping());
    const Result<MessageDelta> delta = parse(parser_.get(), {}, true);
    if (!delta.ok()) return fail(delta.error());
    std::string bytes = delta_event(*delta);
    bytes += sse(finish_chunk(head_, has_tool_calls_, outcome));
    if (include_usage_) bytes += sse(usage_chunk(head_, outcome));
    ended_ = true;
    return bytes + sse("[DONE]");
}

std::string StreamReply::fail(const Error& error) {
    ended_ = true;
    return sse(to_json(api_error(error)));
}

std::string StreamReply::delta_event(const MessageDelta& delta) {
    if (delta.empty()) return {};
    has_tool_calls_ = has_tool_calls_ || !delta.tool_calls.empty();
    return sse(delta_chunk(head_, delta));
}

}  // namespace spolia
