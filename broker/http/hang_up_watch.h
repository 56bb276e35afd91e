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
    // What the client sends ahead goes to `ahead`, up to a bound; beyond it only a connection that
    // breaks is seen, not one that ends in order.
    HangUpWatch(boost::asio::ip::tcp::socket& socket, boost::beast::flat_buffer& ahead)
        : socket_(socket), ahead_(ahead) {}

    void start(std::function<void()> on_hang_up);
    // From here on neither socket nor buffer is touched. What waits in the reactor stays there
    // until the next byte, and serves the next start().
    void stop() { on_hang_up_ = nullptr; }

private:
    void wait();
    void on_readable(boost::system::error_code error);
    void on_broken(const boost::system::error_code& error);
    void tell();
    bool was_cancelled(const boost::system::error_code& error) const;

    boost::asio::ip::tcp::socket& socket_;
    boost::beast::flat_buffer& ahead_;
    std::function<void()> on_hang_up_;
    bool awaits_bytes_ = false;
    bool awaits_break_ = false;
};

}  // namespace spolia
