#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace spolia::testing {

struct ClientResponse {
    int status = 0;                              // 0: none came
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;                            // chunks put together
};

// A client that can misbehave: bytes out, bytes in. Reads give up after some seconds, so that a
// failing test ends.
class HttpClient {
public:
    explicit HttpClient(uint16_t port, int receive_buffer_bytes = 0) {
        socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
        if (receive_buffer_bytes > 0) {
            setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                       sizeof receive_buffer_bytes);
        }
        const timeval patience{300, 0};  // TenMegabytes under ThreadSanitizer
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    ~HttpClient() { close(); }
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    void close() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
    }

    // False when the server has closed.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0) return false;
            bytes.remove_prefix(static_cast<size_t>(n));
        }
        return true;
    }

    bool request(std::string_view method, std::string_view path, std::string_view body = {},
                 std::string_view more_headers = {}) {
        std::string head = std::string(method) + " " + std::string(path) +
                           " HTTP/1.1\r\nHost: x\r\n" + std::string(more_headers);
        if (!body.empty()) head += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        return send(head + "\r\n" + std::string(body));
    }

    // Adds what is there to the buffer; false at the end, or when nothing comes for long.
    bool receive() {
        char bytes[65536];
        const ssize_t n = ::recv(socket_, bytes, sizeof bytes, 0);
        if (n <= 0) return false;
        buffer_.append(bytes, static_cast<size_t>(n));
        return true;
    }

    // Whether the server closes without another byte.
    bool closes() {
        char byte;
        return buffer_.empty() && ::recv(socket_, &byte, 1, 0) == 0;
    }

    // Everything up to the end of the connection.
    std::string read_to_end() {
        while (receive()) {}
        return std::exchange(buffer_, {});
    }

    // Everything up to and with `text`; empty when it does not come.
    std::string read_through(std::string_view text) {
        size_t at = buffer_.find(text);
        while (at == std::string::npos) {
            if (!receive()) return {};
            at = buffer_.find(text);
        }
        const std::string taken = buffer_.substr(0, at + text.size());
        buffer_.erase(0, taken.size());
        return taken;
    }

    ClientResponse response(bool head_only = false) {
        ClientResponse result;
        const std::string head = read_through("\r\n\r\n");
        if (head.size() < 12) return result;
        result.status = std::stoi(head.substr(9, 3));
        read_headers(head, result);
        if (head_only || result.status == 204 || result.status == 100) return result;
        if (result.headers.contains("transfer-encoding")) {
            read_chunks(result);
        } else if (result.headers.contains("content-length")) {
            result.body = read_bytes(std::stoul(result.headers["content-length"]));
        } else {
            result.body = read_to_end();
        }
        return result;
    }

private:
    static void read_headers(const std::string& head, ClientResponse& result) {
        for (size_t begin = head.find("\r\n") + 2; begin + 2 < head.size();) {
            const size_t end = head.find("\r\n", begin);
            const size_t colon = head.find(':', begin);
            std::string name = head.substr(begin, colon - begin);
            for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            const size_t value = head.find_first_not_of(' ', colon + 1);
            result.headers[name] = head.substr(value, end - value);
            begin = end + 2;
        }
    }

    std::string read_bytes(size_t n_bytes) {
        while (buffer_.size() < n_bytes && receive()) {}
        const std::string taken = buffer_.substr(0, n_bytes);
        buffer_.erase(0, taken.size());
        return taken;
    }

    void read_chunks(ClientResponse& result) {
        for (;;) {
            const std::string line = read_through("\r\n");
            if (line.empty()) return;
            const size_t n_bytes = std::stoul(line, nullptr, 16);
            result.body += read_bytes(n_bytes);
            read_bytes(2);
            if (n_bytes == 0) return;
        }
    }

    int socket_ = -1;
    std::string buffer_;
};

}  // namespace spolia::testing
