#pragma once

#include <array>
#include <memory>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "broker/http/upstream.h"
#include "broker/http/upstream_tls.h"

namespace spolia {

// A connection to an upstream. Its socket belongs to the io_context and to no strand: whoever holds
// it uses it from a strand of its own, one after the other, so that it can be kept in a pool.
class UpstreamConnection {
public:
    template <class T>
    using Awaitable = boost::asio::awaitable<T>;
    using Bytes = std::array<boost::asio::const_buffer, 4>;

    explicit UpstreamConnection(boost::asio::io_context& io) : socket_(io) {}

    // Resolves, connects and shakes hands. close() ends it.
    Awaitable<boost::system::error_code> connect(Upstream& upstream);

    // Writes all of it. `n_written` is what was taken by the system, whatever the error.
    Awaitable<boost::system::error_code> write(Bytes bytes, size_t& n_written);
    Awaitable<size_t> read_some(boost::asio::mutable_buffer into, boost::system::error_code& error);

    // Whether the upstream has neither hung up nor sent anything. Without waiting.
    bool is_quiet();
    bool is_plain() const { return tls_ == nullptr; }

    boost::asio::ip::tcp::socket& socket() { return socket_; }
    // What waits for it ends with an error.
    void close();

private:
    Awaitable<boost::system::error_code> connect_socket(const HttpUrl& url);

    boost::asio::ip::tcp::socket socket_;
    std::unique_ptr<UpstreamTls::Stream> tls_;
    boost::asio::ip::tcp::resolver* resolver_ = nullptr;  // while it resolves
    bool closed_ = false;
};

}  // namespace spolia
