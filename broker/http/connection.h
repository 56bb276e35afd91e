#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include "broker/config.h"
#include "broker/http/deadline.h"
#include "broker/http/generation_events.h"
#include "broker/http/hang_up_watch.h"
#include "broker/http/request_parser.h"
#include "broker/http/router.h"

namespace spolia {

// One client's connection: requests one after the other, each answered before the next is read.
// Everything runs on the socket's strand; announce_end(), drain() and abort() may be called from
// any thread.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(boost::asio::ip::tcp::socket socket, const ServerConfig& config,
               const Router& router);

    // Serves until the client or the server ends it.
    boost::asio::awaitable<void> run();

    // Answers from here on say that they are the connection's last.
    void announce_end() { draining_ = true; }
    // Ends the connection once the request being served is answered; at once when there is none.
    void drain();
    // Ends it now. What is being generated is cancelled.
    void abort();

private:
    template <class T>
    using Awaitable = boost::asio::awaitable<T>;

    // A request being served, and what the log is to say of it.
    struct Exchange {
        HttpRequest request;
        std::chrono::steady_clock::time_point start;
        unsigned version = 11;
        bool head_only = false;
        bool keep_alive = false;
        int status = 0;          // 0: the client got no response
        std::string generation;  // id
        std::string upstream;    // that was asked
        std::optional<GenerateOutcome> outcome;
        bool ended = false;  // the generation, by itself
    };

    // Those that give bool say whether the connection can go on.
    Awaitable<bool> wait_for_request();
    Awaitable<bool> serve_one();
    Awaitable<boost::system::error_code> read_header(RequestParser& parser);
    Awaitable<bool> read_body(RequestParser& parser, Exchange& exchange);
    Awaitable<boost::system::error_code> read_more(size_t n_bytes_max);
    Awaitable<bool> route(RequestParser& parser, Exchange& exchange);
    Awaitable<bool> refuse_malformed(boost::system::error_code error);
    Awaitable<bool> refuse_unread(const HttpResponse& response, Exchange& exchange);
    Awaitable<void> linger();
    Awaitable<bool> respond(const HttpResponse& response, const RequestParser& parser,
                            Exchange& exchange);
    Awaitable<bool> answer(Reply reply, RequestParser& parser, Exchange& exchange);
    Awaitable<bool> answer_deferred(const Deferred& deferred, RequestParser& parser,
                                    Exchange& exchange);
    Awaitable<bool> answer_forward(Forward forward, RequestParser& parser, Exchange& exchange);
    Awaitable<bool> answer_generation(GenerationReply generation, Exchange& exchange);
    Awaitable<bool> send_whole(GenerationReply& generation, GenerationMailbox& mailbox,
                               Exchange& exchange);
    Awaitable<bool> send_stream(GenerationReply& generation, GenerationMailbox& mailbox,
                                Exchange& exchange);
    Awaitable<void> watch_client();

    Awaitable<bool> write(const HttpResponse& response, Exchange& exchange);
    Awaitable<bool> write_stream_header(const HttpResponse& header, Exchange& exchange);
    Awaitable<bool> write_stream(const std::string& bytes, bool last, const Exchange& exchange);
    template <class Message>
    void fill_header(Message& message, const HttpResponse& response,
                     const Exchange& exchange) const;
    static void note(const GenerationEvent& event, Exchange& exchange);
    void log(const Exchange& exchange) const;

    boost::beast::tcp_stream stream_;
    boost::beast::flat_buffer buffer_;
    const ServerConfig& config_;
    const Router& router_;
    const std::shared_ptr<Deadline> deadline_;
    const std::shared_ptr<HangUpWatch> watch_;
    bool waiting_ = false;  // for a request's first byte
    std::atomic<bool> draining_ = false;
};

}  // namespace spolia
