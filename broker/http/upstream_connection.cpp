#include "broker/http/upstream_connection.h"

#include <sys/socket.h>

#include <cerrno>

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>

#include "broker/http/result_in.h"

namespace spolia {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

UpstreamConnection::Awaitable<FoundAddresses> UpstreamConnection::find(Upstream& upstream) {
    found_ = std::make_shared<Mailbox<FoundAddresses>>(co_await asio::this_coro::executor, 0);
    const CloseAtEnd<Mailbox<FoundAddresses>> end{*found_};
    upstream.names().ask([box = found_](FoundAddresses each) { box->put(std::move(each), 0); });
    std::vector<FoundAddresses> found = co_await found_->take();
    co_return std::move(found.front());
}

UpstreamConnection::Awaitable<error_code> UpstreamConnection::connect_socket(Upstream& upstream) {
    const FoundAddresses found = co_await find(upstream);
    if (found.error || closed_) co_return found.error;
    error_code error;
    co_await asio::async_connect(socket_, found.endpoints, result_in(error));
    co_return error;
}

UpstreamConnection::Awaitable<error_code> UpstreamConnection::connect(Upstream& upstream) {
    error_code error = co_await connect_socket(upstream);
    if (closed_) error = asio::error::operation_aborted;
    if (error) co_return error;
    socket_.set_option(tcp::no_delay(true), error);
    if (!error) socket_.non_blocking(true, error);
    if (error || upstream.tls() == nullptr) co_return error;
    tls_ = upstream.tls()->wrap(socket_, upstream.url().host);
    if (tls_ == nullptr) co_return asio::error::no_memory;
    co_await tls_->async_handshake(asio::ssl::stream_base::client, result_in(error));
    co_return error;
}

UpstreamConnection::Awaitable<error_code> UpstreamConnection::write(WriteBytes bytes,
                                                                    size_t& n_written) {
    error_code error;
    n_written = 0;
    if (tls_ != nullptr) {
        n_written = co_await asio::async_write(*tls_, bytes, result_in(error));
        co_return error;
    }
    // The system takes most writes whole, and then there is nothing to wait for.
    n_written = socket_.write_some(bytes, error);
    if (error == asio::error::would_block) error = {};
    if (error || n_written == asio::buffer_size(bytes)) co_return error;
    skip(bytes, n_written);
    n_written += co_await asio::async_write(socket_, bytes, result_in(error));
    co_return error;
}

UpstreamConnection::Awaitable<size_t> UpstreamConnection::read_some(asio::mutable_buffer into,
                                                                    error_code& error) {
    if (tls_ != nullptr) return tls_->async_read_some(into, result_in(error));
    return socket_.async_read_some(into, result_in(error));
}

bool UpstreamConnection::is_quiet() {
    char byte;
    const ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void UpstreamConnection::close() {
    closed_ = true;
    if (found_ != nullptr)
        found_->put({.endpoints = {}, .error = asio::error::operation_aborted}, 0);
    error_code ignored;
    socket_.close(ignored);
}

}  // namespace spolia
