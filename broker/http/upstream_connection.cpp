#include "broker/http/upstream_connection.h"

#include <sys/socket.h>

#include <cerrno>

#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace spolia {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

auto result_in(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

}  // namespace

UpstreamConnection::Awaitable<error_code> UpstreamConnection::connect_socket(const HttpUrl& url) {
    error_code error;
    const auto address = asio::ip::make_address(url.host, error);
    if (!error) {
        co_await socket_.async_connect(tcp::endpoint(address, url.port), result_in(error));
        co_return error;
    }
    tcp::resolver resolver(socket_.get_executor());
    resolver_ = &resolver;
    const auto found = co_await resolver.async_resolve(
        url.host, std::to_string(url.port), tcp::resolver::numeric_service, result_in(error));
    resolver_ = nullptr;
    if (closed_) co_return asio::error::operation_aborted;
    if (!error) co_await asio::async_connect(socket_, found, result_in(error));
    co_return error;
}

UpstreamConnection::Awaitable<error_code> UpstreamConnection::connect(Upstream& upstream) {
    error_code error = co_await connect_socket(upstream.url());
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

UpstreamConnection::Awaitable<error_code> UpstreamConnection::write(Bytes bytes,
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
    size_t skip = n_written;
    for (asio::const_buffer& each : bytes) {
        const size_t n_here = std::min(skip, each.size());
        each += n_here;
        skip -= n_here;
    }
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
    if (resolver_ != nullptr) resolver_->cancel();
    error_code ignored;
    socket_.close(ignored);
}

}  // namespace spolia
