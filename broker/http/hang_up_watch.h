#pragma once

#include <functional>
#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>

namespace spolia {

// Tells when a client hangs up while its request is being served, without a coroutine beside the
// one that serves. A client that only closes its sending side counts as gone. On the socket's
// strand; the socket must be non-blocking.
class HangUpWatch : public std::enable_shared_from_this<HangUpWatch> {
public:
    // What the client sends ahead goes to `ahead`, up to a bound; beyond it the watch is blind.
    HangUpWatch(boost::asio::ip::tcp::socket& socket, boost::beast::flat_buffer& ahead)
        : socket_(socket), ahead_(ahead) {}

    void start(std::function<void()> on_hang_up);
    // From here on neither socket nor buffer is touched. What waits in the reactor stays there
    // until the next byte, and serves the next start().
    void stop() { on_hang_up_ = nullptr; }

private:
    void wait();
    void on_readable(const boost::system::error_code& error);

    boost::asio::ip::tcp::socket& socket_;
    boost::beast::flat_buffer& ahead_;
    std::function<void()> on_hang_up_;
    bool pending_ = false;
};

}  // namespace spolia
