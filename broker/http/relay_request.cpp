// The half of Relay that sends the request; relay.cpp has the other.
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/beast/http/error.hpp>

#include "broker/http/field_block.h"
#include "broker/http/relay.h"
#include "broker/http/relay_heads.h"
#include "broker/http/result_in.h"
#include "broker/http/unreadable_request.h"
#include "broker/http/upstream_pool.h"

namespace spolia {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr size_t kSendBytes = size_t{16} << 10;  // of a request's body
constexpr size_t kKeptBytes = 4096;              // of the client's buffer, while it streams

asio::io_context& context_of(const asio::any_io_executor& executor) {
    return static_cast<asio::io_context&>(asio::query(executor, asio::execution::context));
}

}  // namespace

// Connects and sends the head with what is there of the body.
Relay::Awaitable<bool> Relay::begin_request(Upstream& upstream) {
    const std::string head = request_head(upstream);
    WriteBytes bytes{bytes_of(head), bytes_of(forward_.body ? *forward_.body : request_.body)};
    if (!forward_.body && parsed_bytes_ > 0) {
        const std::string_view piece(static_cast<const char*>(client_.buffer.cdata().data()),
                                     piece_bytes_);
        bytes = framed(head, piece, client_.parser.chunked(), client_.parser.is_done(), line_);
    }
    UpstreamPool& pool = UpstreamPool::of(client_.socket.get_executor());
    size_t n_written = 0;
    bool late = false;
    for (bool idled = true; idled && n_written == 0;) {
        connection_ = pool.take(upstream);
        idled = connection_ != nullptr;
        bool connected = idled;
        if (!idled) connected = co_await connect(upstream);
        if (!connected) co_return false;
        limit_upstream(upstream.config().idle_timeout_ms);
        const error_code error = co_await connection_->write(bytes, n_written);
        if (client_gone_) co_return false;
        late = error && timed_out_;
    }
    if (late || n_written == 0) {
        fail(late ? UpstreamFailure::kIdleTimeout : UpstreamFailure::kClosed);
        co_return n_written > 0;
    }
    client_.buffer.consume(parsed_bytes_);
    request_sent_ = forward_.body || client_.parser.is_done();
    co_return true;
}

Relay::Awaitable<bool> Relay::connect(Upstream& upstream) {
    connection_ = std::make_unique<UpstreamConnection>(context_of(client_.socket.get_executor()));
    limit_upstream(upstream.config().connect_timeout_ms);
    const error_code error = co_await connection_->connect(upstream);
    if (client_gone_) co_return false;
    if (error) {
        connection_->close();
        fail(UpstreamFailure::kConnect);
    } else {
        upstream.note_connected();
    }
    co_return !error;
}

std::string Relay::request_head(const Upstream& upstream) const {
    error_code ignored;
    const std::string framing = request_framing();
    return upstream_request_head(
        request_, forward_, upstream,
        {.peer = client_.socket.remote_endpoint(ignored).address().to_string(),
         .shares_key = client_.config.keys.empty(),
         .framing = framing});
}

std::string Relay::request_framing() const {
    std::string framing;
    RequestParser& parser = client_.parser;
    if (forward_.body) {
        append_field(framing, "Content-Length", std::to_string(forward_.body->size()));
    } else if (!request_.body.empty()) {
        append_field(framing, "Content-Length", std::to_string(request_.body.size()));
    } else if (parser.chunked() && piece_bytes_ + parsed_bytes_ == 0 && parser.is_done()) {
        append_field(framing, "Content-Length", "0");  // it was read as a whole
    } else if (parser.chunked()) {
        append_field(framing, "Transfer-Encoding", "chunked");
    } else if (const auto length = parser.content_length()) {
        append_field(framing, "Content-Length", std::to_string(*length));
    }
    return framing;
}

// What came along with the request's head goes along with it, too.
void Relay::take_piece_at_hand() {
    error_code error;
    const auto data = client_.buffer.data();
    piece_bytes_ = gather_body(client_.parser, static_cast<char*>(data.data()), data.size(),
                               parsed_bytes_, error);
    if (error) return refuse_body(error);
    if (!client_.parser.is_done()) return;
    // From here on the buffer takes what the client sends ahead.
    request_.body.assign(static_cast<const char*>(data.data()), piece_bytes_);
    client_.buffer.consume(std::exchange(parsed_bytes_, 0));
    watch_client();
}

void Relay::refuse_body(error_code error) {
    end_.refusal = unreadable_request(error, client_.config);
}

// The body that is still with the client. Ends early when the upstream answers before that.
Relay::Awaitable<void> Relay::send_rest(Upstream& upstream) {
    if (client_.parser.expects_continue() && parsed_bytes_ == 0) {
        const WriteBytes go_ahead{bytes_of("HTTP/1.1 100 Continue\r\n\r\n")};
        const bool told = co_await write_client(go_ahead);
        if (!told) co_return;
    }
    if (connection_->is_plain()) {
        early_ = std::make_shared<EarlyAnswer>(connection_->socket(), client_.socket.get_executor(),
                                               [this] { stop_sending(); });
        early_->watch();
    }
    while (!client_.parser.is_done()) {
        const bool read = co_await read_piece();
        if (!read) break;
        const std::string_view piece(static_cast<const char*>(client_.buffer.cdata().data()),
                                     piece_bytes_);
        size_t n_written = 0;
        limit_upstream(upstream.config().idle_timeout_ms);
        const WriteBytes bytes =
            framed({}, piece, client_.parser.chunked(), client_.parser.is_done(), line_);
        const error_code error = co_await connection_->write(bytes, n_written);
        client_.buffer.consume(parsed_bytes_);
        if (error && timed_out_) fail(UpstreamFailure::kIdleTimeout);
        if (error || client_gone_) break;
        request_sent_ = client_.parser.is_done();
    }
    if (early_ != nullptr) early_->stop();
    if (client_.buffer.size() == 0 && client_.buffer.capacity() > kKeptBytes) {
        client_.buffer.shrink_to_fit();
    }
    if (!client_gone_ && request_sent_) watch_client();
}

void Relay::stop_sending() {
    error_code ignored;
    client_.socket.cancel(ignored);
    connection_->socket().cancel(ignored);
}

// The next piece of the body, or its end.
Relay::Awaitable<bool> Relay::read_piece() {
    for (;;) {
        error_code error;
        if (early_ != nullptr && early_->came()) co_return false;
        if (client_.buffer.size() >= kSendBytes) {
            refuse_body(http::error::bad_chunk);
            co_return false;
        }
        limit_client(client_.config.body_timeout_ms);
        const size_t n_read = co_await client_.socket.async_read_some(
            client_.buffer.prepare(kSendBytes - client_.buffer.size()), result_in(error));
        if (early_ != nullptr && early_->came()) co_return false;
        if (error) {
            give_up_client();
            co_return false;
        }
        client_.buffer.commit(n_read);
        const auto data = client_.buffer.data();
        piece_bytes_ = gather_body(client_.parser, static_cast<char*>(data.data()), data.size(),
                                   parsed_bytes_, error);
        if (error) {
            refuse_body(error);
            co_return false;
        }
        if (piece_bytes_ > 0 || client_.parser.is_done()) co_return true;
        client_.buffer.consume(parsed_bytes_);
    }
}

}  // namespace spolia
