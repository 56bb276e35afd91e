#include "broker/http/early_answer.h"

#include <sys/socket.h>

#include <array>
#include <string_view>

#include <boost/asio/bind_executor.hpp>

namespace spolia {

namespace {

constexpr size_t kPeekBytes = 4096;
constexpr std::string_view kHeaderEnd = "\r\n\r\n";

// "HTTP/1.1 100 ..." and its like. 101 is none: behind it comes something else than HTTP.
bool begins_interim(std::string_view bytes) {
    constexpr size_t kStatus = std::string_view("HTTP/1.1 ").size();
    return bytes.starts_with("HTTP/1.") && bytes.size() >= kStatus + 3 && bytes[kStatus] == '1' &&
           bytes.substr(kStatus, 3) != "101";
}

}  // namespace

void EarlyAnswer::watch() {
    upstream_.async_wait(
        boost::asio::ip::tcp::socket::wait_read,
        boost::asio::bind_executor(
            strand_, [self = shared_from_this()](const boost::system::error_code& error) {
                if (!error && self->on_answer_) self->on_readable();
            }));
}

void EarlyAnswer::on_readable() {
    switch (look()) {
        case Seen::kInterim: return watch();
        case Seen::kPart: return;  // rare: the answer is then only seen behind the whole body
        case Seen::kAnswer: break;
    }
    came_ = true;
    on_answer_();
}

EarlyAnswer::Seen EarlyAnswer::look() {
    std::array<char, kPeekBytes> bytes;
    const int socket = upstream_.native_handle();
    const ssize_t n_read = ::recv(socket, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
    if (n_read <= 0) return Seen::kAnswer;
    const std::string_view seen(bytes.data(), static_cast<size_t>(n_read));
    if (!begins_interim(seen)) return Seen::kAnswer;
    const size_t end = seen.find(kHeaderEnd);
    if (end == seen.npos) return Seen::kPart;
    ::recv(socket, bytes.data(), end + kHeaderEnd.size(), MSG_DONTWAIT);
    return Seen::kInterim;
}

}  // namespace spolia
