#include "broker/http/client.h"

#include <array>
#include <exception>
#include <future>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "broker/http/name_lookup.h"
#include "broker/http/url.h"

namespace spolia {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::beast::flat_buffer;
using boost::system::error_code;

using Clock = std::chrono::steady_clock;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr std::chrono::milliseconds kStopLook{20};

std::vector<tcp::endpoint> resolve(const std::string& host, uint16_t port,
                                   Clock::time_point deadline, const std::stop_token& stop,
                                   error_code& error) {
    const auto promise = std::make_shared<std::promise<FoundAddresses>>();
    std::make_shared<NameLookup>(host, port)->ask([promise](FoundAddresses found) {
        promise->set_value(std::move(found));
    });
    std::future<FoundAddresses> future = promise->get_future();
    // Addresses are there at once; for names a look now and then whether to stop costs nothing.
    while (future.wait_for(kStopLook) != std::future_status::ready) {
        if (stop.stop_requested() || Clock::now() > deadline) {
            error = asio::error::timed_out;
            return {};
        }
    }
    FoundAddresses found = future.get();
    error = found.error;
    return std::move(found.endpoints);
}

// One exchange with a server. Each step does nothing once one has failed, or the deadline is over.
class Connection {
public:
    Connection(const std::string& host, uint16_t port, std::chrono::milliseconds timeout,
               const std::stop_token& stop)
        : where_(authority_of(host, port)),
          deadline_(Clock::now() + timeout),
          stop_(stop),
          stream_(context_) {
        const std::vector<tcp::endpoint> found = resolve(host, port, deadline_, stop_, error_);
        await([&](auto done) { stream_.async_connect(found, done); });
        if (!error_) stream_.socket().set_option(tcp::no_delay(true), error_);
    }

    void send(std::string_view method, std::string_view target, const Headers& headers,
              std::string body) {
        http::request<http::string_body> request;
        request.method_string({method.data(), method.size()});
        request.target({target.data(), target.size()});
        request.version(11);
        request.set(http::field::host, where_);
        request.set(http::field::connection, "close");
        if (!body.empty()) request.set(http::field::content_type, "application/json");
        for (const auto& [name, value] : headers) request.set(name, value);
        request.body() = std::move(body);
        request.prepare_payload();
        await([&](auto done) { http::async_write(stream_, request, done); });
    }
    template <class Parser>
    void read(Parser& parser) {
        await([&](auto done) { http::async_read(stream_, buffer_, parser, done); });
    }
    template <class Parser>
    void read_header(Parser& parser) {
        await([&](auto done) { http::async_read_header(stream_, buffer_, parser, done); });
    }
    template <class Parser>
    void read_some(Parser& parser) {
        await([&](auto done) { http::async_read_some(stream_, buffer_, parser, done); });
        if (error_ == http::error::need_buffer) error_ = {};
    }

    void set_deadline(std::chrono::milliseconds from_now) { deadline_ = Clock::now() + from_now; }

    bool ok() const { return !error_; }
    Error failure() const {
        return {stop_.stop_requested() ? ErrorCode::kCancelled : ErrorCode::kIo,
                "no answer from " + where_ + ": " + error_.message()};
    }

private:
    // Runs what `start` begins to its end: blocking calls of Asio wait for ever, whatever timeouts
    // the socket has.
    template <class Start>
    void await(const Start& start) {
        if (error_) return;
        stream_.expires_at(deadline_);
        start([this](const error_code& error, const auto&...) { error_ = error; });
        context_.restart();
        const std::stop_callback cancel(
            stop_, [this] { asio::post(context_, [this] { stream_.cancel(); }); });
        context_.run();
    }

    asio::io_context context_;
    const std::string where_;
    Clock::time_point deadline_;
    const std::stop_token& stop_;
    boost::beast::tcp_stream stream_;
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

HttpClient::HttpClient(std::string host, uint16_t port, std::chrono::milliseconds timeout,
                       uint64_t reply_bytes_max)
    : host_(std::move(host)), port_(port), timeout_(timeout), reply_bytes_max_(reply_bytes_max) {}

void HttpClient::set_header(std::string name, std::string value) {
    headers_.emplace_back(std::move(name), std::move(value));
}

void HttpClient::set_bearer(const std::string& key) {
    if (!key.empty()) set_header("Authorization", "Bearer " + key);
}

// Asio throws where the system has no file descriptor or thread left.
Error HttpClient::no_answer(const std::exception& failure) const {
    return {ErrorCode::kIo, "no answer from " + authority_of(host_, port_) + ": " + failure.what()};
}

Result<HttpReply> HttpClient::call(std::string_view method, std::string_view target,
                                   std::string body) const try {
    Connection connection(host_, port_, timeout_, stop_);
    connection.send(method, target, headers_, std::move(body));
    http::response_parser<http::string_body> parser;
    parser.body_limit(reply_bytes_max_);
    connection.read(parser);
    if (!connection.ok()) return connection.failure();
    auto& reply = parser.get();
    return HttpReply{static_cast<int>(reply.result_int()), std::move(reply.body()),
                     std::string(reply[http::field::retry_after])};
} catch (const std::exception& failure) {
    return no_answer(failure);
}

Result<HttpReply> HttpClient::stream(std::string_view target, std::string body,
                                     const std::function<bool(std::string_view)>& on_event) const
    try {
    Connection connection(host_, port_, timeout_, stop_);
    connection.send("POST", target, headers_, std::move(body));
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(reply_bytes_max_);
    connection.set_deadline(timeout_);
    connection.read_header(parser);
    if (!connection.ok()) return connection.failure();
    HttpReply reply{static_cast<int>(parser.get().result_int()), {}, {}};
    const std::string_view type = parser.get()[http::field::content_type];
    const bool events = type.starts_with("text/event-stream");

    EventSplitter splitter(on_event);
    std::array<char, 16384> chunk;
    while (!parser.is_done()) {
        parser.get().body().data = chunk.data();
        parser.get().body().size = chunk.size();
        connection.set_deadline(timeout_);
        connection.read_some(parser);
        if (!connection.ok()) return connection.failure();
        const std::string_view got(chunk.data(), chunk.size() - parser.get().body().size);
        if (!events) {
            reply.body += got;
        } else if (!splitter.push(got)) {
            break;
        }
    }
    return reply;
} catch (const std::exception& failure) {
    return no_answer(failure);
}

}  // namespace spolia
