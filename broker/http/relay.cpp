#include "broker/http/relay.h"

#include <chrono>
#include <cstring>
#include <utility>

#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>

#include "broker/http/body_framing.h"
#include "broker/http/relay_heads.h"
#include "broker/http/result_in.h"
#include "broker/http/upstream_pool.h"

namespace spolia {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr size_t kReadBytes = size_t{16} << 10;  // of a response, and its longest header

std::string_view what_failed(UpstreamFailure failure) {
    switch (failure) {
        case UpstreamFailure::kConnect: return "can't be reached";
        case UpstreamFailure::kHeaderTimeout:
            return "did not answer in time (upstream.header_timeout_ms)";
        case UpstreamFailure::kIdleTimeout:
            return "did not go on in time (upstream.idle_timeout_ms)";
        case UpstreamFailure::kClosed: return "hung up before its answer was whole";
        case UpstreamFailure::kMalformed: return "answered something that is not HTTP";
    }
    return "";
}

ApiError upstream_error(const std::string& upstream, UpstreamFailure failure) {
    const bool late = failure == UpstreamFailure::kHeaderTimeout;
    return ApiError{late ? 504 : 502,
                    "the upstream " + upstream + " " + std::string(what_failed(failure)),
                    "upstream_error", "", late ? "upstream_timeout" : "upstream_failed"};
}

}  // namespace

Relay::Relay(RelayClient client, HttpRequest& request, Forward forward)
    : client_(client), request_(request), forward_(std::move(forward)) {}

Relay::~Relay() {
    client_.deadline.clear();
    client_.watch.stop();
    if (early_ != nullptr) early_->stop();
    if (forward_.watch != nullptr) forward_.watch->on_end(how_it_ended());
}

ForwardWatch::End Relay::how_it_ended() const {
    if (complete_) return ForwardWatch::End::kComplete;
    const bool upstreams_fault = failure_ && !client_gone_;
    return upstreams_fault ? ForwardWatch::End::kUpstreamFailed : ForwardWatch::End::kClientGone;
}

// Requests that can't go on as they are.
void Relay::check_request() {
    if (client_.parser.wants_websocket()) {
        end_.refusal = ApiError{501, "connections are not upgraded to websockets here",
                                "not_supported_error", "", "not_supported"};
    } else if (!(forward_.target ? *forward_.target : request_.target).starts_with('/')) {
        end_.refusal = bad_request("the request's target does not begin with /");
    }
}

Relay::Awaitable<RelayEnd> Relay::run() {
    check_request();
    if (client_.parser.is_done() || forward_.body) {
        watch_client();
    } else if (!end_.refusal) {
        take_piece_at_hand();
    }
    bool next = !end_.refusal;
    for (size_t i = 0; next && i < forward_.candidates.size(); ++i) {
        next = co_await ask(*forward_.candidates[i]);
    }
    if (end_.status == 0 && !client_gone_ && !end_.refusal) {
        const std::string name = upstream_ == nullptr ? "" : upstream_->name();
        end_.refusal = upstream_error(name, failure_.value_or(UpstreamFailure::kConnect));
    }
    end_.keep_alive = end_.keep_alive && complete_;
    co_return end_;
}

// Goes on, with the next candidate, only where nothing was sent.
Relay::Awaitable<bool> Relay::ask(Upstream& upstream) {
    upstream_ = &upstream;
    const Upstream::InFlight in_flight(upstream);
    failure_.reset();
    const bool begun = co_await begin_request(upstream);
    if (!begun) co_return !client_gone_;
    end_.upstream = upstream.name();
    if (forward_.watch != nullptr) forward_.watch->on_upstream(upstream);
    if (!request_sent_ && !failure_) co_await send_rest(upstream);
    if (!client_gone_ && !end_.refusal && !failure_) {
        release(request_.body);
        release(request_.fields);
        forward_.body.reset();
        co_await relay_response(upstream);
    }
    if (connection_ != nullptr) connection_->close();
    co_return false;
}

Relay::Awaitable<void> Relay::relay_response(Upstream& upstream) {
    read_.reset(new char[kReadBytes]);
    std::optional<ResponseParser> parser;
    const bool answered = co_await read_header(upstream, parser);
    if (!answered) co_return;
    upstream.note_status(parser->status());
    co_await relay_body(upstream, *parser, response_head(*parser));
    if (failure_ && !client_gone_) co_await tell_of_failure();
    if (complete_ && request_sent_ && parser->keep_alive() && read_bytes_ == 0) {
        UpstreamPool::of(client_.socket.get_executor()).put(upstream, std::move(connection_));
    }
}

// Skips what only says that an answer will come.
Relay::Awaitable<bool> Relay::read_header(Upstream& upstream,
                                          std::optional<ResponseParser>& parser) {
    const bool to_head = request_.method == "HEAD";
    parser.emplace(kReadBytes, to_head);
    size_t n_parsed = 0;
    for (;;) {
        const bool read = co_await read_upstream(upstream.config().header_timeout_ms,
                                                 UpstreamFailure::kHeaderTimeout);
        if (read && hung_up_) fail(UpstreamFailure::kClosed);
        if (!read || hung_up_) co_return false;
        error_code error;
        while (!error && n_parsed < read_bytes_ && !parser->is_header_done()) {
            n_parsed += parser->put(
                asio::const_buffer(read_.get() + n_parsed, read_bytes_ - n_parsed), error);
            const bool interim = parser->is_header_done() && parser->status() / 100 == 1;
            if (interim && parser->status() != 101) parser.emplace(kReadBytes, to_head);
        }
        const bool full = read_bytes_ == kReadBytes && !parser->is_header_done();
        const bool broken = (error && error != http::error::need_more) || full;
        if (broken || (parser->is_header_done() && parser->status() == 101)) {
            fail(UpstreamFailure::kMalformed);
            co_return false;
        }
        if (parser->is_header_done()) break;
    }
    read_bytes_ -= n_parsed;
    std::memmove(read_.get(), read_.get() + n_parsed, read_bytes_);
    co_return true;
}

std::string Relay::response_head(ResponseParser& parser) {
    HttpHeaders added;
    if (forward_.watch != nullptr) {
        forward_.watch->on_response(parser.status(), parser.content_type(), added);
    }
    const bool modern = client_.parser.version() >= 11;
    const bool bodyless =
        request_.method == "HEAD" || parser.status() == 204 || parser.status() == 304;
    auto length = parser.content_length();
    if (forward_.watch != nullptr && forward_.watch->changes_body()) length.reset();
    chunked_ = modern && !bodyless && !length;
    events_ = parser.content_type().starts_with("text/event-stream") && !length;
    end_.keep_alive = client_.keep_alive && !client_.draining && (modern || bodyless || length) &&
                      client_.parser.is_done();
    end_.status = parser.status();

    std::optional<uint64_t> size;
    if (length) size = *length;
    return client_response_head(
        parser,
        {.modern = modern, .chunked = chunked_, .keep_alive = end_.keep_alive, .length = size},
        client_.common_headers, added);
}

// Writes at once what a read brought: events must not wait.
Relay::Awaitable<void> Relay::relay_body(Upstream& upstream, ResponseParser& parser,
                                         std::string head) {
    parser.drop_fields();
    for (;;) {
        error_code error;
        size_t n_parsed = 0;
        const size_t n_body = gather_body(parser, read_.get(), read_bytes_, n_parsed, error);
        if (!error && hung_up_ && !parser.is_done()) {
            parser.put_eof(error);
            if (error) fail(UpstreamFailure::kClosed);
        } else if (error) {
            fail(UpstreamFailure::kMalformed);
        }
        std::string_view body(read_.get(), n_body);
        const bool last = parser.is_done() && !failure_;
        if (forward_.watch != nullptr) {
            if (!body.empty()) forward_.watch->on_body(body);
            if (forward_.watch->changes_body()) body = forward_.watch->change(body, last);
        }
        if (!body.empty()) last_byte_ = body.back();
        const WriteBytes bytes = framed(head, body, chunked_, last, line_);
        const bool written = co_await write_client(bytes);
        if (!written || failure_) co_return;
        complete_ = last;
        head.clear();
        read_bytes_ -= n_parsed;
        std::memmove(read_.get(), read_.get() + n_parsed, read_bytes_);
        if (complete_) co_return;
        const bool read = co_await read_upstream(upstream.config().idle_timeout_ms,
                                                 UpstreamFailure::kIdleTimeout);
        if (!read) co_return;
    }
}

// Bytes, or that the upstream has hung up.
Relay::Awaitable<bool> Relay::read_upstream(int32_t ms, UpstreamFailure late) {
    if (read_bytes_ == kReadBytes) {
        fail(UpstreamFailure::kMalformed);
        co_return false;
    }
    error_code error;
    limit_upstream(ms);
    read_bytes_ += co_await connection_->read_some(
        asio::mutable_buffer(read_.get() + read_bytes_, kReadBytes - read_bytes_), error);
    if (client_gone_) co_return false;
    hung_up_ = error == asio::error::eof;
    if (!error || hung_up_) co_return true;
    fail(timed_out_ ? late : UpstreamFailure::kClosed);
    co_return false;
}

Relay::Awaitable<bool> Relay::write_client(WriteBytes bytes) {
    const size_t n_bytes = asio::buffer_size(bytes);
    if (n_bytes == 0) co_return true;
    // The system takes most writes whole, and then there is nothing to wait for.
    error_code error;
    size_t n_written = client_.socket.write_some(bytes, error);
    if (error == asio::error::would_block) error = {};
    if (!error && n_written < n_bytes) {
        skip(bytes, n_written);
        limit_client(client_.config.write_timeout_ms);
        co_await asio::async_write(client_.socket, bytes, result_in(error));
    }
    if (error) give_up_client();
    co_return !client_gone_;
}

// Where the response has begun, only a stream of events can still say it; others just end too soon.
Relay::Awaitable<void> Relay::tell_of_failure() {
    if (!events_) co_return;
    const std::string_view gap = last_byte_ == '\n' ? "" : "\n\n";
    const std::string event = std::string(gap) +
                              "data: " + to_json(upstream_error(upstream_->name(), *failure_)) +
                              "\n\n";
    const WriteBytes bytes = framed({}, event, chunked_, true, line_);
    co_await write_client(bytes);
}

void Relay::watch_client() {
    client_.watch.start([this] { give_up_client(); });
}

void Relay::give_up_client() {
    client_gone_ = true;
    if (connection_ != nullptr) connection_->close();
    error_code ignored;
    client_.socket.close(ignored);
}

void Relay::limit_upstream(int32_t ms) {
    timed_out_ = false;
    client_.deadline.set(milliseconds(ms), [this] {
        timed_out_ = true;
        if (connection_ != nullptr) connection_->close();
    });
}

void Relay::limit_client(int32_t ms) {
    client_.deadline.set(milliseconds(ms), [this] { give_up_client(); });
}

void Relay::fail(UpstreamFailure failure) {
    failure_ = failure;
    upstream_->note_failure(failure);
}

}  // namespace spolia
