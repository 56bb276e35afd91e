#include "broker/http/connection.h"

#include <algorithm>
#include <exception>
#include <stop_token>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "broker/http/relay.h"
#include "broker/http/result_in.h"
#include "broker/http/unreadable_request.h"
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
constexpr size_t kReadBytes = 4096;
constexpr size_t kBodyReadBytes = size_t{64} << 10;
constexpr size_t kReservedBodyBytes = size_t{1} << 20;

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

// Whoever prepares an answer need not go on once its connection is gone. After the answer nobody
// listens.
struct StopAtEnd {
    std::stop_source source;
    ~StopAtEnd() { source.request_stop(); }
};

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, const ServerConfig& config,
                       const Router& router)
    : stream_(std::move(socket)),
      config_(config),
      router_(router),
      deadline_(std::make_shared<Deadline>(stream_.get_executor())),
      watch_(std::make_shared<HangUpWatch>(stream_.socket(), buffer_)) {
    error_code ignored;  // the client is gone: reading will find out
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    stream_.socket().non_blocking(true, ignored);
}

Connection::Awaitable<void> Connection::run() {
    while (co_await wait_for_request()) {
        if (!co_await serve_one()) break;
    }
    deadline_->stop();
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
    waiting_ = true;
    deadline_->set(milliseconds(config_.idle_timeout_ms), [this] { stream_.close(); });
    const error_code error = co_await read_more(kReadBytes);
    waiting_ = false;
    co_return !error;
}

// Within the deadline that is set.
Connection::Awaitable<error_code> Connection::read_more(size_t n_bytes_max) {
    error_code error;
    const size_t n_bytes =
        co_await stream_.socket().async_read_some(buffer_.prepare(n_bytes_max), result_in(error));
    buffer_.commit(n_bytes);
    co_return error;
}

Connection::Awaitable<bool> Connection::serve_one() {
    Exchange exchange;
    exchange.start = std::chrono::steady_clock::now();
    RequestParser parser(exchange.request, config_);
    const error_code error = co_await read_header(parser);
    if (error) co_return co_await refuse_malformed(error);
    set_target(exchange.request, exchange.request.target);
    exchange.version = parser.version();
    exchange.head_only = exchange.request.method == "HEAD";
    exchange.keep_alive = parser.keep_alive();

    bool go_on = false;
    if (const std::optional<HttpResponse> refusal = router_.refuse(exchange.request)) {
        go_on = co_await respond(*refusal, parser, exchange);
    } else {
        bool ready = parser.is_done() || !router_.wants_body(exchange.request);
        if (!ready) ready = co_await read_body(parser, exchange);
        if (ready) go_on = co_await route(parser, exchange);
    }
    log(exchange);
    co_return go_on&& exchange.keep_alive && !draining_;
}

Connection::Awaitable<bool> Connection::route(RequestParser& parser, Exchange& exchange) {
    std::optional<Reply> reply;
    try {
        reply = router_.route(exchange.request);
    } catch (const std::exception& failure) {
        reply = error_response(api_error(Error{ErrorCode::kInternal, failure.what()}));
    }
    const bool forwards =
        std::holds_alternative<Forward>(*reply) || std::holds_alternative<Deferred>(*reply);
    if (!forwards) release(exchange.request.body);
    co_return co_await answer(std::move(*reply), parser, exchange);
}

Connection::Awaitable<error_code> Connection::read_header(RequestParser& parser) {
    deadline_->set(milliseconds(config_.header_timeout_ms), [this] { stream_.close(); });
    for (;;) {
        error_code error;
        buffer_.consume(parser.put(buffer_.data(), error));
        if (error != http::error::need_more) co_return error;
        error = co_await read_more(kReadBytes);
        if (error) co_return error;
    }
}

Connection::Awaitable<bool> Connection::read_body(RequestParser& parser, Exchange& exchange) {
    error_code error;
    if (parser.expects_continue()) {
        http::response<http::empty_body> go_ahead(http::status::continue_, exchange.version);
        stream_.expires_after(milliseconds(config_.write_timeout_ms));
        co_await http::async_write(stream_, go_ahead, result_in(error));
        if (error) co_return false;
    }
    std::string& body = exchange.request.body;
    if (const auto length = parser.content_length()) {
        body.reserve(std::min<size_t>(*length, kReservedBodyBytes));
    }
    deadline_->set(milliseconds(config_.body_timeout_ms), [this] { stream_.close(); });
    for (;;) {
        while (buffer_.size() > 0 && !error && !parser.is_done()) {
            const size_t n_parsed = parser.put(buffer_.data(), error);
            body += parser.take_piece();
            buffer_.consume(n_parsed);
        }
        if (error == http::error::need_more) error = {};
        if (!error && parser.is_done()) co_return true;
        if (!error) error = co_await read_more(kBodyReadBytes);
        if (error) co_return co_await refuse_malformed(error);
    }
}

// Answers what can't be read as a request, if there is still someone to answer. Never goes on.
Connection::Awaitable<bool> Connection::refuse_malformed(error_code error) {
    if (error.category() != make_error_code(http::error::bad_method).category()) co_return false;
    Exchange exchange;
    exchange.start = std::chrono::steady_clock::now();
    const HttpResponse response = error_response(unreadable_request(error, config_));
    co_await refuse_unread(response, exchange);
    log(exchange);
    co_return false;
}

Connection::Awaitable<bool> Connection::respond(const HttpResponse& response,
                                                const RequestParser& parser, Exchange& exchange) {
    if (parser.is_done()) co_return co_await write(response, exchange);
    co_return co_await refuse_unread(response, exchange);
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
    deadline_->clear();
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
    stream_.expires_after(kLinger);
    buffer_.clear();
    while (!error) {
        co_await stream_.async_read_some(buffer_.prepare(kAheadBytesMax), result_in(error));
    }
}

Connection::Awaitable<bool> Connection::answer(Reply reply, RequestParser& parser,
                                               Exchange& exchange) {
    deadline_->clear();
    if (const auto* response = std::get_if<HttpResponse>(&reply)) {
        co_return co_await respond(*response, parser, exchange);
    }
    if (const auto* deferred = std::get_if<Deferred>(&reply)) {
        co_return co_await answer_deferred(*deferred, parser, exchange);
    }
    if (auto* forward = std::get_if<Forward>(&reply)) {
        co_return co_await answer_forward(std::move(*forward), parser, exchange);
    }
    co_return co_await answer_generation(std::get<GenerationReply>(std::move(reply)), exchange);
}

Connection::Awaitable<bool> Connection::answer_deferred(const Deferred& deferred,
                                                        RequestParser& parser, Exchange& exchange) {
    const auto mailbox = std::make_shared<Mailbox<ReadyReply>>(stream_.get_executor(), 0);
    const CloseAtEnd<Mailbox<ReadyReply>> close{*mailbox};
    StopAtEnd gone;
    deferred.start([mailbox](ReadyReply reply) { mailbox->put(std::move(reply), 0); },
                   gone.source.get_token());
    auto first = co_await (mailbox->take() || watch_client());
    if (first.index() == 1) co_return false;
    ReadyReply ready = std::move(std::get<0>(first).front());
    Reply reply =
        std::visit([](auto&& each) -> Reply { return std::move(each); }, std::move(ready));
    if (!std::holds_alternative<Forward>(reply)) release(exchange.request.body);
    co_return co_await answer(std::move(reply), parser, exchange);
}

Connection::Awaitable<bool> Connection::answer_forward(Forward forward, RequestParser& parser,
                                                       Exchange& exchange) {
    RelayEnd end;
    {
        Relay relay({stream_.socket(), buffer_, parser, *deadline_, *watch_, config_,
                     router_.common_headers(), draining_, exchange.keep_alive},
                    exchange.request, std::move(forward));
        end = co_await relay.run();
    }
    exchange.upstream = std::move(end.upstream);
    exchange.status = end.status;
    if (end.refusal) {
        const HttpResponse refusal = error_response(*end.refusal);
        co_return co_await respond(refusal, parser, exchange);
    }
    // The rest of a body that nobody wanted would reset the connection under the answer.
    if (end.status != 0 && !parser.is_done()) co_await linger();
    co_return end.keep_alive;
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
    if (!logs(LogLevel::kInfo)) return;
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
                   {"id", exchange.generation},
                   {"upstream", exchange.upstream}});
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
