#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "broker/http/forward.h"
#include "broker/http/message.h"
#include "broker/service.h"
#include "broker/wire/requests.h"
#include "broker/wire/response.h"

namespace spolia {

// A generation that the router wants started, and how its response is to look.
struct GenerationReply {
    Service* service = nullptr;
    ParsedRequest request;
    ResponseHead head;
};

using ReadyReply = std::variant<HttpResponse, GenerationReply, Forward>;

// A reply that is there later: `start` gets the function that takes it, from any thread, and a
// token that says when nobody waits for it any more. Then it need not be given.
struct Deferred {
    using Finish = std::function<void(ReadyReply)>;
    std::function<void(Finish, const std::stop_token& gone)> start;
};

// What the router makes of a request.
using Reply = std::variant<HttpResponse, GenerationReply, Forward, Deferred>;

struct TextEvent {
    std::string text;
};

// The calls of a GenerateSink, as values.
using GenerationEvent = std::variant<Receipt, TextEvent, GenerateOutcome, Error>;

// How a prompt's rows came about, on the response to its request.
HttpHeaders receipt_headers(const Receipt& receipt);

// Gathers a generation's text for a response in one piece.
class WholeReply {
public:
    WholeReply(ResponseHead head, std::unique_ptr<OutputParser> parser);

    // The response, once the event is the last one, or the text can't be parsed.
    std::optional<HttpResponse> take(const GenerationEvent& event);

private:
    HttpResponse finish(const GenerateOutcome& outcome);

    ResponseHead head_;
    std::unique_ptr<OutputParser> parser_;  // null: text is content
    AnswerMessage message_;
};

// Turns a generation's events into server-sent events.
class StreamReply {
public:
    StreamReply(ResponseHead head, std::unique_ptr<OutputParser> parser, bool include_usage);

    // The response's header, known at the first event. A stream that starts with an error is none.
    static HttpResponse header(const GenerationEvent& first);

    // The bytes to send for an event, which may be none.
    std::string take(const GenerationEvent& event);
    // The last bytes have been given. When no outcome was among the events, the generation is to be
    // cancelled.
    bool ended() const { return ended_; }

private:
    std::string text(std::string_view text);
    std::string finish(const GenerateOutcome& outcome);
    std::string fail(const Error& error);
    std::string delta_event(const MessageDelta& delta);

    ResponseHead head_;
    std::unique_ptr<OutputParser> parser_;
    bool include_usage_;
    bool started_ = false;
    bool has_tool_calls_ = false;
    bool ended_ = false;
};

}  // namespace spolia
