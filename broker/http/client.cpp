#include "broker/http/client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace spolia {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::flat_buffer;
using boost::system::error_code;

class Connection {
public:
    Connection(const std::string& host, uint16_t port, std::chrono::seconds timeout)
        : where_(host + ":" + std::to_string(port)), host_(host), socket_(context_) {
        asio::ip::tcp::resolver resolver(context_);
        const auto found = resolver.resolve(host, std::to_string(port), error_);
        if (!error_) asio::connect(socket_, found, error_);
        if (error_) return;
        socket_.set_option(asio::ip::tcp::no_delay(true), error_);
        const timeval limit{timeout.count(), 0};
        setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }

    void send(std::string_view method, std::string_view target, std::string body) {
        if (error_) return;
        http::request<http::string_body> request;
        request.method_string({method.data(), method.size()});
        request.target({target.data(), target.size()});
        request.version(11);
        request.set(http::field::host, host_);
        request.set(http::field::connection, "close");
        if (!body.empty()) request.set(http::field::content_type, "application/json");
        request.body() = std::move(body);
        request.prepare_payload();
        http::write(socket_, request, error_);
    }

    bool ok() const { return !error_; }
    Error failure() const {
        return {ErrorCode::kIo, "no answer from " + where_ + ": " + error_.message()};
    }

    asio::io_context context_;
    std::string where_;
    std::string host_;
    asio::ip::tcp::socket socket_;
    flat_buffer buffer_;
    error_code error_;
};

// Cuts a byte stream into the data of server-sent events.
class EventSplitter {
public:
    explicit EventSplitter(const std::function<bool(std::string_view)>& on_event)
        : on_event_(on_event) {}

    // False once on_event said to hang up.
    bool push(std::string_view bytes) {
        pending_ += bytes;
        size_t line = 0;
        for (size_t end; (end = pending_.find('\n', line)) != pending_.npos; line = end + 1) {
            std::string_view text = std::string_view(pending_).substr(line, end - line);
            if (text.ends_with('\r')) text.remove_suffix(1);
            if (!text.starts_with("data: ")) continue;
            text.remove_prefix(6);
            if (text != "[DONE]" && !on_event_(text)) return false;
        }
        pending_.erase(0, line);
        return true;
    }

private:
    const std::function<bool(std::string_view)>& on_event_;
    std::string pending_;
};

}  // namespace

HttpClient::HttpClient(std::string host, uint16_t port, std::chrono::seconds timeout)
    : host_(std::move(host)), port_(port), timeout_(timeout) {}

Result<HttpReply> HttpClient::call(std::string_view method, std::string_view target,
                                   std::string body) const {
    Connection connection(host_, port_, timeout_);
    connection.send(method, target, std::move(body));
    http::response_parser<http::string_body> parser;
    parser.body_limit(uint64_t{1} << 30);
    if (connection.ok())
        http::read(connection.socket_, connection.buffer_, parser, connection.error_);
    if (!connection.ok()) return connection.failure();
    return HttpReply{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
}

Result<HttpReply> HttpClient::stream(std::string_view target, std::string body,
                                     const std::function<bool(std::string_view)>& on_event) const {
    Connection connection(host_, port_, timeout_);
    connection.send("POST", target, std::move(body));
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(uint64_t{1} << 30);
    if (connection.ok()) {
        http::read_header(connection.socket_, connection.buffer_, parser, connection.error_);
    }
    if (!connection.ok()) return connection.failure();
    HttpReply reply{static_cast<int>(parser.get().result_int()), {}};
    const std::string_view type = parser.get()[http::field::content_type];
    const bool events = type.starts_with("text/event-stream");

    EventSplitter splitter(on_event);
    std::array<char, 16384> chunk;
    while (!parser.is_done()) {
        parser.get().body().data = chunk.data();
        parser.get().body().size = chunk.size();
        http::read_some(connection.socket_, connection.buffer_, parser, connection.error_);
        if (connection.error_ == http::error::need_buffer) connection.error_ = {};
        if (!connection.ok()) return connection.failure();
        const std::string_view got(chunk.data(), chunk.size() - parser.get().body().size);
        if (!events) {
            reply.body += got;
        } else if (!splitter.push(got)) {
            break;
        }
    }
    return reply;
}

}  // namespace spolia
