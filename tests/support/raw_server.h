#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace spolia::testing {

// A connection whose bytes a test sends and takes one by one. Waits give up after a while, so that
// a failing test ends.
class RawPeer {
public:
    explicit RawPeer(int socket) : socket_(socket) {
        const timeval patience{60, 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    }
    RawPeer(RawPeer&& other) noexcept
        : socket_(std::exchange(other.socket_, -1)), buffer_(std::move(other.buffer_)) {}
    ~RawPeer() { close(); }
    RawPeer(const RawPeer&) = delete;
    RawPeer& operator=(const RawPeer&) = delete;

    int socket() const { return socket_; }
    void close() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
    }
    // Instead of an orderly end.
    void reset() {
        const linger at_once{1, 0};
        setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }

    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0) return false;
            bytes.remove_prefix(static_cast<size_t>(n));
        }
        return true;
    }

    // What the system takes at once, of endlessly many bytes.
    size_t send_until_blocked() {
        const std::string bytes(65536, 'x');
        size_t n_sent = 0;
        for (;;) {
            const ssize_t n =
                ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n <= 0) return n_sent;
            n_sent += static_cast<size_t>(n);
        }
    }

    // Everything up to and with `text`; empty when it does not come.
    std::string read_through(std::string_view text) {
        size_t at = buffer_.find(text);
        while (at == buffer_.npos) {
            if (!receive()) return {};
            at = buffer_.find(text);
        }
        return take(at + text.size());
    }
    std::string read_bytes(size_t n_bytes) {
        while (buffer_.size() < n_bytes && receive()) {}
        return take(std::min(n_bytes, buffer_.size()));
    }
    std::string read_head() { return read_through("\r\n\r\n"); }

    // Waits for the other side's end, whatever comes before it. False: it did not come.
    bool sees_end() {
        char bytes[65536];
        for (;;) {
            const ssize_t n = ::recv(socket_, bytes, sizeof bytes, 0);
            if (n == 0) return true;
            if (n < 0) return errno == ECONNRESET;
        }
    }

private:
    bool receive() {
        char bytes[65536];
        const ssize_t n = ::recv(socket_, bytes, sizeof bytes, 0);
        if (n > 0) buffer_.append(bytes, static_cast<size_t>(n));
        return n > 0;
    }
    std::string take(size_t n_bytes) {
        const std::string taken = buffer_.substr(0, n_bytes);
        buffer_.erase(0, n_bytes);
        return taken;
    }

    int socket_;
    std::string buffer_;
};

// Listens on a free port of this machine; the test accepts.
class RawServer {
public:
    explicit RawServer(int receive_buffer_bytes = 0) {
        socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
        if (receive_buffer_bytes > 0) {
            setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                       sizeof receive_buffer_bytes);
        }
        const timeval patience{60, 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* any = reinterpret_cast<sockaddr*>(&address);
        if (::bind(socket_, any, size) != 0 || ::listen(socket_, 16) != 0 ||
            ::getsockname(socket_, any, &size) != 0) {
            std::abort();
        }
        port_ = ntohs(address.sin_port);
    }
    ~RawServer() { close(); }
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;

    RawPeer accept() { return RawPeer(::accept(socket_, nullptr, nullptr)); }
    // From here on connecting is refused.
    void close() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
    }
    // Whether somebody has connected.
    bool has_caller() {
        const timeval at_once{0, 1000};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &at_once, sizeof at_once);
        const int caller = ::accept(socket_, nullptr, nullptr);
        if (caller >= 0) ::close(caller);
        return caller >= 0;
    }
    std::string url(std::string_view scheme = "http") const {
        return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_);
    }
    std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }

private:
    int socket_ = -1;
    uint16_t port_ = 0;
};

}  // namespace spolia::testing
