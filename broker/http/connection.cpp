#include "broker/http/connection.h"

#include <array>
#include <exception>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include "broker/log.h"

namespace spolia {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::experimental::awaitable_operators::operator||;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

// Of what a client sends ahead while its last request is being served.
constexpr size_t kAheadBytesMax = size_t{64} << 10;
constexpr milliseconds kLinger{2000};

auto result_in(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// Cancels a generation that its connection leaves unfinished.
class GenerationGuard {
public:
    GenerationGuard(Service& service, GenerationId id) : service_(service), id_(id) {}
    ~GenerationGuard() {
        if (!finished_) service_.cancel(id_);
    }
    GenerationGuard(const GenerationGuard&) = delete;
    GenerationGuard& operator=(const GenerationGuard&) = delete;

    void finish() { finished_ = true; }

private:
    Service& service_;
    GenerationId id_;
    bool finished_ = false;
};

template <class Box>
struct CloseAtEnd {
    Box& mailbox;
    ~CloseAtEnd() { mailbox.close(); }
};

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, const ServerConfig& config,
                       const Router& router)
    : stream_(std::move(socket)), config_(config), router_(router) {
    error_code ignored;  // the client is gone: reading will find out
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
}

Connection::Awaitable<void> Connection::run() {
    while (co_await wait_for_request()) {
        if (!co_await serve_one()) break;
    }
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    stream_.close();
}

void Connection::drain() {
    announce_end();
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
        if (self->waiting_) self->stream_.close();
    });
}

void Connection::abort() {
    announce_end();
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->stream_.close(); });
}

Connection::Awaitable<bool> Connection::wait_for_request() {
    if (draining_) co_return false;
    if (buffer_.size() > 0) co_return true;
    error_code error;
    waiting_ = true;
    stream_.expires_after(milliseconds(config_.idle_timeout_ms));
    const size_t n_bytes =
        co_await stream_.async_read_some(buffer_.prepare(4096), result_in(error));
    waiting_ = false;
    buffer_.commit(n_bytes);
    co_return !error;
}

Connection::Awaitable<bool> Connection::serve_one() {
    Exchange exchange;
    exchange.start = std::chrono::steady_clock::now();
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(config_.header_bytes_max));
    parser.body_limit(config_.body_bytes_max);
    error_code error;
    stream_.expires_after(milliseconds(config_.header_timeout_ms));
    co_await http::async_read_header(stream_, buffer_, parser, result_in(error));
    if (error) co_return co_await refuse_malformed(error);

    const auto& header = parser.get();
    set_target(exchange.request, {header.target().data(), header.target().size()});
    exchange.request.method = std::string(header.method_string());
    exchange.request.authorization = std::string(header[http::field::authorization]);
    exchange.version = header.version();
    exchange.head_only = exchange.request.method == "HEAD";
    exchange.keep_alive = header.keep_alive();

    bool go_on = false;
    if (const std::optional<HttpResponse> refusal = router_.refuse(exchange.request)) {
        if (parser.is_done())
            go_on = co_await write(*refusal, exchange);
        else
            go_on = co_await refuse_unread(*refusal, exchange);
    } else if (co_await read_body(parser, exchange)) {
        std::optional<Reply> reply;
        try {
            reply = router_.route(exchange.request);
        } catch (const std::exception& failure) {
            reply = error_response(api_error(Error{ErrorCode::kInternal, failure.what()}));
        }
        exchange.request.body = {};
        go_on = co_await answer(std::move(*reply), exchange);
    }
    log(exchange);
    co_return go_on&& exchange.keep_alive && !draining_;
}

Connection::Awaitable<bool> Connection::read_body(Parser& parser, Exchange& exchange) {
    error_code error;
    const bool expects = beast::iequals(parser.get()[http::field::expect], "100-continue");
    if (expects && !parser.is_done()) {
        http::response<http::empty_body> go_ahead(http::status::continue_, exchange.version);
        stream_.expires_after(milliseconds(config_.write_timeout_ms));
        co_await http::async_write(stream_, go_ahead, result_in(error));
        if (error) co_return false;
    }
    stream_.expires_after(milliseconds(config_.body_timeout_ms));
    co_await http::async_read(stream_, buffer_, parser, result_in(error));
    if (error) co_return co_await refuse_malformed(error);
    exchange.request.body = std::move(parser.get().body());
    co_return true;
}

// Answers what can't be read as a request, if there is still someone to answer. Never goes on.
Connection::Awaitable<bool> Connection::refuse_malformed(error_code error) {
    ApiError refusal = bad_request("the request is not HTTP as expected: " + error.message());
    if (error == http::error::body_limit) {
        refusal = ApiError{413,
                           "the body is longer than " + std::to_string(config_.body_bytes_max) +
                               " bytes (server.body_bytes_max)",
                           "invalid_request_error", "", "body_too_long"};
    } else if (error == http::error::header_limit) {
        refusal = ApiError{431,
                           "the header is longer than " + std::to_string(config_.header_bytes_max) +
                               " bytes (server.header_bytes_max)",
                           "invalid_request_error", "", "header_too_long"};
    } else if (error.category() != make_error_code(http::error::bad_method).category() ||
               error == http::error::end_of_stream || error == http::error::partial_message) {
        co_return false;
    }
    Exchange exchange;
    exchange.start = std::chrono::steady_clock::now();
    const HttpResponse response = error_response(refusal);
    co_await refuse_unread(response, exchange);
    log(exchange);
    co_return false;
}

// Answers before the body is read. Closing right away would reset the connection under a client
// that still sends, and with it the answer: take what comes for a moment.
Connection::Awaitable<bool> Connection::refuse_unread(const HttpResponse& response,
                                                      Exchange& exchange) {
    exchange.keep_alive = false;
    const bool written = co_await write(response, exchange);  // GCC 12 breaks this in the condition
    if (written) co_await linger();
    co_return false;
}

Connection::Awaitable<void> Connection::linger() {
    error_code error;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
    stream_.expires_after(kLinger);
    buffer_.clear();
    while (!error) {
        co_await stream_.async_read_some(buffer_.prepare(kAheadBytesMax), result_in(error));
    }
}

Connection::Awaitable<bool> Connection::answer(Reply reply, Exchange& exchange) {
    if (const auto* response = std::get_if<HttpResponse>(&reply)) {
        co_return co_await write(*response, exchange);
    }
    if (const auto* deferred = std::get_if<Deferred>(&reply)) {
        co_return co_await answer_deferred(*deferred, exchange);
    }
    co_return co_await answer_generation(std::get<GenerationReply>(std::move(reply)), exchange);
}

Connection::Awaitable<bool> Connection::answer_deferred(const Deferred& deferred,
                                                        Exchange& exchange) {
    const auto mailbox = std::make_shared<Mailbox<ReadyReply>>(stream_.get_executor(), 0);
    const CloseAtEnd<Mailbox<ReadyReply>> close{*mailbox};
    deferred.start([mailbox](ReadyReply reply) { mailbox->put(std::move(reply), 0); });
    auto first = co_await (mailbox->take() || watch_client());
    if (first.index() == 1) co_return false;
    ReadyReply reply = std::move(std::get<0>(first).front());
    if (const auto* response = std::get_if<HttpResponse>(&reply)) {
        co_return co_await write(*response, exchange);
    }
    co_return co_await answer_generation(std::get<GenerationReply>(std::move(reply)), exchange);
}

Connection::Awaitable<bool> Connection::answer_generation(GenerationReply generation,
                                                          Exchange& exchange) {
    exchange.generation = generation.head.id;
    const auto mailbox = std::make_shared<GenerationMailbox>(
        stream_.get_executor(), config_.stream_queue_bytes_max, [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->stream_.close();
        });
    const CloseAtEnd<GenerationMailbox> close{*mailbox};
    const Result<GenerationId> id = generation.service->submit(
        std::move(generation.request.generate), std::make_shared<MailboxSink>(mailbox));
    if (!id.ok()) {
        const HttpResponse refusal = error_response(submit_error(id.error(), generation.request));
        co_return co_await write(refusal, exchange);
    }

    GenerationGuard guard(*generation.service, *id);
    std::variant<bool, std::monostate> first;
    if (generation.request.stream) {
        first = co_await (send_stream(generation, *mailbox, exchange) || watch_client());
    } else {
        first = co_await (send_whole(generation, *mailbox, exchange) || watch_client());
    }
    if (exchange.ended) guard.finish();
    co_return first.index() == 0 && std::get<0>(first);
}

Connection::Awaitable<bool> Connection::send_whole(GenerationReply& generation,
                                                   GenerationMailbox& mailbox, Exchange& exchange) {
    WholeReply reply(generation.head, std::move(generation.request.parser));
    for (;;) {
        const std::vector<GenerationEvent> events = co_await mailbox.take();
        for (const GenerationEvent& event : events) {
            note(event, exchange);
            const std::optional<HttpResponse> response = reply.take(event);
            if (response) co_return co_await write(*response, exchange);
        }
    }
}

Connection::Awaitable<bool> Connection::send_stream(GenerationReply& generation,
                                                    GenerationMailbox& mailbox,
                                                    Exchange& exchange) {
    std::vector<GenerationEvent> events = co_await mailbox.take();
    const HttpResponse header = StreamReply::header(events.front());
    if (header.status != 200) co_return co_await write(header, exchange);
    if (!co_await write_stream_header(header, exchange)) co_return false;

    StreamReply reply(generation.head, std::move(generation.request.parser),
                      generation.request.include_usage);
    for (;;) {
        std::string bytes;
        for (size_t i = 0; i < events.size() && !reply.ended(); ++i) {
            note(events[i], exchange);
            bytes += reply.take(events[i]);
        }
        if (!co_await write_stream(bytes, reply.ended(), exchange)) co_return false;
        if (reply.ended()) co_return true;
        events = co_await mailbox.take();
    }
}

void Connection::note(const GenerationEvent& event, Exchange& exchange) {
    if (const auto* outcome = std::get_if<GenerateOutcome>(&event)) exchange.outcome = *outcome;
    exchange.ended = exchange.outcome || std::holds_alternative<Error>(event);
}

// Returns when the client hangs up, so that nothing is computed for nobody. Whatever it sends ahead
// is kept for later. A client that only closes its sending side counts as gone, as with
// llama-server.
Connection::Awaitable<void> Connection::watch_client() {
    error_code error;
    while (!error && buffer_.size() < kAheadBytesMax) {
        const size_t n_bytes =
            co_await stream_.socket().async_read_some(buffer_.prepare(4096), result_in(error));
        buffer_.commit(n_bytes);
    }
    if (!error) {
        asio::steady_timer never(stream_.get_executor(), asio::steady_timer::time_point::max());
        co_await never.async_wait(result_in(error));
    }
    // Ends a write that waits for the client; an end of watching is none of the connection.
    if (error != asio::error::operation_aborted) stream_.close();
}

template <class Message>
void Connection::fill_header(Message& message, const HttpResponse& response,
                             const Exchange& exchange) const {
    message.set(http::field::server, "spolia");
    if (response.status != 204) message.set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : router_.common_headers()) message.set(name, value);
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(exchange.keep_alive && !draining_);
}

Connection::Awaitable<bool> Connection::write(const HttpResponse& response, Exchange& exchange) {
    exchange.status = response.status;
    http::response<http::string_body> message;
    message.version(exchange.version);
    message.result(static_cast<unsigned>(response.status));
    fill_header(message, response, exchange);
    message.content_length(response.body.size());
    if (!exchange.head_only) message.body() = response.body;
    error_code error;
    stream_.expires_after(milliseconds(config_.write_timeout_ms));
    co_await http::async_write(stream_, message, result_in(error));
    co_return !error;
}

Connection::Awaitable<bool> Connection::write_stream_header(const HttpResponse& header,
                                                            Exchange& exchange) {
    exchange.status = header.status;
    if (exchange.version < 11) exchange.keep_alive = false;  // only closing ends the body
    http::response<http::empty_body> message(http::status::ok, exchange.version);
    fill_header(message, header, exchange);
    if (exchange.version >= 11) message.chunked(true);
    http::response_serializer<http::empty_body> serializer(message);
    error_code error;
    stream_.expires_after(milliseconds(config_.write_timeout_ms));
    co_await http::async_write_header(stream_, serializer, result_in(error));
    co_return !error;
}

Connection::Awaitable<bool> Connection::write_stream(const std::string& bytes, bool last,
                                                     const Exchange& exchange) {
    const auto buffer = asio::buffer(bytes);
    error_code error;
    stream_.expires_after(milliseconds(config_.write_timeout_ms));
    if (exchange.version < 11) {
        co_await asio::async_write(stream_, buffer, result_in(error));
        co_return !error;
    }
    if (!bytes.empty())
        co_await asio::async_write(stream_, http::make_chunk(buffer), result_in(error));
    if (last && !error) {
        co_await asio::async_write(stream_, http::make_chunk_last(), result_in(error));
    }
    co_return !error;
}

void Connection::log(const Exchange& exchange) const {
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - exchange.start;
    const HttpRequest& request = exchange.request;
    const std::string tenant = router_.tenant_of(request);
    const int64_t status = exchange.status;
    if (!exchange.outcome) {
        log_event(LogLevel::kInfo, "request",
                  {{"method", request.method},
                   {"path", request.path},
                   {"status", status},
                   {"tenant", tenant},
                   {"ms", elapsed.count()},
                   {"id", exchange.generation}});
        return;
    }
    const GenerateOutcome& outcome = *exchange.outcome;
    const Receipt& receipt = outcome.receipt;
    log_event(LogLevel::kInfo, "request",
              {{"method", request.method},
               {"path", request.path},
               {"status", status},
               {"tenant", tenant},
               {"ms", elapsed.count()},
               {"id", exchange.generation},
               {"policy", receipt.policy},
               {"prompt", int64_t{receipt.n_prompt}},
               {"exact", int64_t{receipt.n_exact}},
               {"shifted", int64_t{receipt.n_shifted}},
               {"blended", int64_t{receipt.n_blended}},
               {"anchored", int64_t{receipt.n_anchored}},
               {"donor", int64_t{receipt.n_donor}},
               {"computed", int64_t{receipt.n_computed}},
               {"generated", int64_t{outcome.n_generated}},
               {"ttft_ms", receipt.ttft_ms},
               {"finish", to_string(outcome.finish)}});
}

}  // namespace spolia
