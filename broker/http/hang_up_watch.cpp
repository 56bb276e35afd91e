#include "broker/http/hang_up_watch.h"

#include <utility>

namespace spolia {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kAheadBytesMax = size_t{16} << 10;
constexpr size_t kReadBytes = 4096;

}  // namespace

void HangUpWatch::start(std::function<void()> on_hang_up) {
    on_hang_up_ = std::move(on_hang_up);
    wait();
}

void HangUpWatch::wait() {
    using tcp_socket = asio::ip::tcp::socket;
    const auto self = shared_from_this();
    if (ahead_.size() < kAheadBytesMax) {
        if (std::exchange(awaits_bytes_, true)) return;
        socket_.async_wait(tcp_socket::wait_read,
                           [self](const error_code& error) { self->on_readable(error); });
    } else {
        if (std::exchange(awaits_break_, true)) return;
        socket_.async_wait(tcp_socket::wait_error,
                           [self](const error_code& error) { self->on_broken(error); });
    }
}

// With the reads of an exchange that is over, by itself or in part.
bool HangUpWatch::was_cancelled(const error_code& error) const {
    return error == asio::error::operation_aborted && socket_.is_open();
}

void HangUpWatch::on_readable(error_code error) {
    awaits_bytes_ = false;
    if (!on_hang_up_) return;
    if (was_cancelled(error)) return wait();
    size_t n_bytes = 0;
    if (!error) n_bytes = socket_.read_some(ahead_.prepare(kReadBytes), error);
    ahead_.commit(n_bytes);
    if (error && error != asio::error::would_block) return tell();
    wait();
}

void HangUpWatch::on_broken(const error_code& error) {
    awaits_break_ = false;
    if (!on_hang_up_) return;
    if (was_cancelled(error)) return wait();
    tell();
}

void HangUpWatch::tell() {
    const std::function<void()> on_hang_up = std::exchange(on_hang_up_, nullptr);
    on_hang_up();
}

}  // namespace spolia
