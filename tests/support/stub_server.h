#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "index/thread_annotations.h"

namespace spolia::testing {

struct StubRequest {
    std::string head;  // request line and header
    std::string body;
};

inline std::string stub_response(int status, std::string_view body,
                                 std::string_view more_headers = {}) {
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" +
           std::string(more_headers) + "\r\n" + std::string(body);
}

// An HTTP server on a free port of this machine that answers each request as it is told, one
// connection at a time.
class StubServer {
public:
    // The bytes of the answer; nullopt: none, until the client hangs up.
    using Answer = std::function<std::optional<std::string>(const StubRequest& request)>;

    explicit StubServer(Answer answer) : answer_(std::move(answer)) {
        listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* any = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener_, any, size) != 0 || ::listen(listener_, 16) != 0 ||
            ::getsockname(listener_, any, &size) != 0) {
            std::abort();
        }
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~StubServer() {
        ::shutdown(listener_, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
    }
    StubServer(const StubServer&) = delete;
    StubServer& operator=(const StubServer&) = delete;

    uint16_t port() const { return port_; }
    std::string url(const std::string& path = "/v1") const {
        return "http://127.0.0.1:" + std::to_string(port_) + path;
    }
    std::vector<StubRequest> requests() EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        return requests_;
    }

private:
    void serve() {
        for (;;) {
            const int connection = ::accept(listener_, nullptr, nullptr);
            if (connection < 0) return;
            answer_one(connection);
            ::close(connection);
        }
    }

    void answer_one(int connection) EXCLUDES(mutex_) {
        StubRequest request;
        std::string bytes;
        size_t head_end = bytes.npos;
        while (head_end == bytes.npos) {
            if (!receive(connection, bytes)) return;
            head_end = bytes.find("\r\n\r\n");
        }
        request.head = bytes.substr(0, head_end);
        const size_t length = request.head.find("Content-Length: ");
        const size_t n_body = length == bytes.npos
                                  ? 0
                                  : std::strtoull(request.head.c_str() + length + 16, nullptr, 10);
        while (bytes.size() < head_end + 4 + n_body) {
            if (!receive(connection, bytes)) return;
        }
        request.body = bytes.substr(head_end + 4);
        {
            const MutexLock lock(mutex_);
            requests_.push_back(request);
        }
        if (const std::optional<std::string> answer = answer_(request)) {
            ::send(connection, answer->data(), answer->size(), MSG_NOSIGNAL);
        } else {
            while (receive(connection, bytes)) {}
        }
    }

    static bool receive(int connection, std::string& bytes) {
        char some[16384];
        const ssize_t n = ::recv(connection, some, sizeof some, 0);
        if (n > 0) bytes.append(some, static_cast<size_t>(n));
        return n > 0;
    }

    const Answer answer_;
    int listener_ = -1;
    uint16_t port_ = 0;
    Mutex mutex_;
    std::vector<StubRequest> requests_ GUARDED_BY(mutex_);
    std::thread thread_;
};

}  // namespace spolia::testing
