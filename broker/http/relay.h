#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include "broker/config.h"
#include "broker/http/body_framing.h"
#include "broker/http/deadline.h"
#include "broker/http/early_answer.h"
#include "broker/http/forward.h"
#include "broker/http/hang_up_watch.h"
#include "broker/http/request_parser.h"
#include "broker/http/response_parser.h"
#include "broker/http/upstream_connection.h"
#include "broker/wire/api_error.h"

namespace spolia {

// What a relay uses of the client's connection. The socket must be non-blocking.
struct RelayClient {
    boost::asio::ip::tcp::socket& socket;
    boost::beast::flat_buffer& buffer;  // what was read and not parsed
    RequestParser& parser;              // behind the header; its body may still have to be read
    Deadline& deadline;
    HangUpWatch& watch;
    const ServerConfig& config;
    const HttpHeaders& common_headers;  // for responses that don't have them
    const std::atomic<bool>& draining;
    bool keep_alive;  // as the client wishes
};

struct RelayEnd {
    int status = 0;                   // of what the client got; 0: nothing
    bool keep_alive = false;          // whether another request may follow
    std::optional<ApiError> refusal;  // to be answered in place of an upstream
    std::string upstream;             // its name; empty: none was reached
};

// Forwards one request and its response, in pieces as they come: neither is ever held as a whole,
// and a side that is slow to take them slows the other one. A client that hangs up ends the
// upstream's connection at once, so that nothing is computed for nobody. On the client's strand.
class Relay {
public:
    // `request` is the client's, with its body where that was read; what is sent of it is let go.
    Relay(RelayClient client, HttpRequest& request, Forward forward);
    ~Relay();
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    boost::asio::awaitable<RelayEnd> run();

private:
    template <class T>
    using Awaitable = boost::asio::awaitable<T>;

    // Those that give bool say whether to go on.
    Awaitable<bool> ask(Upstream& upstream);
    Awaitable<bool> begin_request(Upstream& upstream);
    Awaitable<bool> connect(Upstream& upstream);
    Awaitable<void> send_rest(Upstream& upstream);
    Awaitable<bool> read_piece();
    Awaitable<void> relay_response(Upstream& upstream);
    Awaitable<bool> read_header(Upstream& upstream, std::optional<ResponseParser>& parser);
    Awaitable<void> relay_body(Upstream& upstream, ResponseParser& parser, std::string head);
    Awaitable<bool> read_upstream(int32_t ms, UpstreamFailure late);
    Awaitable<bool> write_client(WriteBytes bytes);
    Awaitable<void> tell_of_failure();

    std::string request_head(const Upstream& upstream) const;
    std::string request_framing() const;
    std::string response_head(ResponseParser& parser);
    void check_request();
    void take_piece_at_hand();
    void stop_sending();
    void refuse_body(boost::system::error_code error);
    void watch_client();
    void give_up_client();
    void limit_upstream(int32_t ms);
    void limit_client(int32_t ms);
    void fail(UpstreamFailure failure);
    ForwardWatch::End how_it_ended() const;

    RelayClient client_;
    HttpRequest& request_;
    Forward forward_;
    RelayEnd end_;
    Upstream* upstream_ = nullptr;  // the one being asked
    std::unique_ptr<UpstreamConnection> connection_;
    std::shared_ptr<EarlyAnswer> early_;

    // Of a body that is streamed: the piece to send next, at the front of the client's buffer, and
    // how much of the buffer was parsed.
    size_t piece_bytes_ = 0;
    size_t parsed_bytes_ = 0;

    std::unique_ptr<char[]> read_;  // bytes from the upstream
    size_t read_bytes_ = 0;
    ChunkLine line_;
    char last_byte_ = '\n';  // of the body that the client got

    bool client_gone_ = false;
    bool timed_out_ = false;
    bool request_sent_ = false;
    bool hung_up_ = false;  // the upstream, in order
    bool chunked_ = false;  // the client gets chunks
    bool events_ = false;   // it gets server-sent events
    bool complete_ = false;
    std::optional<UpstreamFailure> failure_;
};

}  // namespace spolia
