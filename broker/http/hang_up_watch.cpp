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
    if (!pending_ && ahead_.size() < kAheadBytesMax) wait();
}

void HangUpWatch::wait() {
    pending_ = true;
    socket_.async_wait(
        asio::ip::tcp::socket::wait_read,
        [self = shared_from_this()](const error_code& error) { self->on_readable(error); });
}

void HangUpWatch::on_readable(const error_code& waited) {
    pending_ = false;
    if (!on_hang_up_) return;
    // Cancelled with the reads of an exchange that is over.
    if (waited == asio::error::operation_aborted && socket_.is_open()) return wait();
    error_code error = waited;
    size_t n_bytes = 0;
    if (!error) n_bytes = socket_.read_some(ahead_.prepare(kReadBytes), error);
    ahead_.commit(n_bytes);
    if (error && error != asio::error::would_block) {
        const std::function<void()> on_hang_up = std::exchange(on_hang_up_, nullptr);
        on_hang_up();
    } else if (ahead_.size() < kAheadBytesMax) {
        wait();
    }
}

}  // namespace spolia
