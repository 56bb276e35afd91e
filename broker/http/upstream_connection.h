#pragma once

#include <memory>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "broker/http/body_framing.h"
#include "broker/http/mailbox.h"
#include "broker/http/name_lookup.h"
#include "broker/http/upstream.h"
#include "broker/http/upstream_tls.h"

namespace spolia {

// A connection to an upstream. Its socket belongs to the io_context and to no strand: whoever holds
// it uses it from a strand of its own, one after the other, so that it can be kept in a pool.
class UpstreamConnection {
public:
    template <class T>
    using Awaitable = boost::asio::awaitable<T>;

    explicit UpstreamConnection(boost::asio::io_context& io) : socket_(io) {}

    // Resolves, connects and shakes hands. close() ends it.
    Awaitable<boost::system::error_code> connect(Upstream& upstream);

    // Writes all of it. `n_written` is what was taken by the system, whatever the error.
    Awaitable<boost::system::error_code> write(WriteBytes bytes, size_t& n_written);
    Awaitable<size_t> read_some(boost::asio::mutable_buffer into, boost::system::error_code& error);

    // Whether the upstream has neither hung up nor sent anything. Without waiting.
    bool is_quiet();
    bool is_plain() const { return tls_ == nullptr; }

    boost::asio::ip::tcp::socket& socket() { return socket_; }
    // What waits for it ends with an error.
    void close();

private:
    Awaitable<FoundAddresses> find(Upstream& upstream);
    Awaitable<boost::system::error_code> connect_socket(Upstream& upstream);

    boost::asio::ip::tcp::socket socket_;
    std::unique_ptr<UpstreamTls::Stream> tls_;
    std::shared_ptr<Mailbox<FoundAddresses>> found_;  // for what the name's look-up brings
    bool closed_ = false;
};

}  // namespace spolia
