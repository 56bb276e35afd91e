#include "broker/cli/proxy_stub.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "broker/cli/http_reader.h"
#include "broker/cli/loopback.h"
#include "broker/cli/poller.h"

namespace spolia {
namespace {

using Clock = Poller::Clock;

constexpr size_t kAnswerBytes = 600;
constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";

std::string reply_of(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string answer() {
    std::string before =
        R"({"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub",)"
        R"("choices":[{"index":0,"message":{"role":"assistant","content":")";
    const std::string after =
        R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":80,)"
        R"("total_tokens":580}})";
    while (before.size() + after.size() < kAnswerBytes) before += "word ";
    return reply_of(before + after);
}

std::string chunk_of(std::string_view data) {
    std::array<char, 20> size{};
    std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
    return std::string(size.data()).append(data).append("\r\n");
}

std::string event_sent_at(Clock::time_point now) {
    const auto ns = std::chrono::nanoseconds(now.time_since_epoch()).count();
    return R"(data: {"id":"chatcmpl-stub","object":"chat.completion.chunk","created":1700000000,)"
           R"("model":"stub",)" +
           std::string(kSentField) + std::to_string(ns) +
           R"(,"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]})"
           "\n\n";
}

class ProxyStub {
public:
    explicit ProxyStub(UniqueFd listener) : listener_(std::move(listener)) {}
    Status run();

private:
    struct Client {
        UniqueFd fd;
        HttpReader reader;
        std::string body;
        std::string out;       // what the client has not taken yet
        bool blocked = false;  // waits for the client to take it
        int64_t events_left = 0;
        std::chrono::microseconds interval{0};
        Clock::time_point next_event;
    };

    void accept_all();
    // False where the client is gone.
    bool serve(Client& client, uint32_t ready);
    bool read_from(Client& client);
    void answer_request(Client& client);
    void begin_stream(Client& client);
    bool send_to(Client& client, std::string_view bytes);
    void send_due_events();
    void drop(int fd);

    const UniqueFd listener_;
    const std::string answer_ = answer();
    const std::string nothing_ = reply_of("{}");
    Poller poller_;
    std::map<int, Client> clients_;                    // as many as there are descriptors
    std::set<std::pair<Clock::time_point, int>> due_;  // streams by their next event
};

Status ProxyStub::run() {
    if (!poller_.ok()) return Error{ErrorCode::kIo, "the stub has no descriptor left"};
    poller_.watch(listener_.get(), EPOLLIN);
    for (;;) {
        std::optional<Clock::time_point> until;
        if (!due_.empty()) until = due_.begin()->first;
        for (const epoll_event& event : poller_.wait(until)) {
            if (event.data.fd == listener_.get()) {
                accept_all();
                continue;
            }
            const auto client = clients_.find(event.data.fd);
            if (client == clients_.end()) continue;
            if (!serve(client->second, event.events)) drop(event.data.fd);
        }
        send_due_events();
    }
}

void ProxyStub::accept_all() {
    for (;;) {
        UniqueFd fd = accept_from(listener_.get());
        if (!fd.valid()) return;
        const int number = fd.get();
        poller_.watch(number, EPOLLIN);
        clients_[number].fd = std::move(fd);
    }
}

void ProxyStub::drop(int fd) {
    const auto client = clients_.find(fd);
    if (client->second.events_left > 0) due_.erase({client->second.next_event, fd});
    clients_.erase(client);
}

bool ProxyStub::serve(Client& client, uint32_t ready) {
    if ((ready & EPOLLOUT) != 0 && !send_to(client, {})) return false;
    return (ready & ~static_cast<uint32_t>(EPOLLOUT)) == 0 || read_from(client);
}

bool ProxyStub::read_from(Client& client) {
    std::array<char, 16384> buffer;
    const ssize_t n = recv(client.fd.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    std::string_view bytes(buffer.data(), static_cast<size_t>(n));
    while (!bytes.empty()) {
        bytes.remove_prefix(client.reader.take(bytes, client.body));
        if (client.reader.broken()) return false;
        if (!client.reader.done()) continue;
        answer_request(client);
        client.reader.restart();
        client.body.clear();
    }
    return send_to(client, {});
}

void ProxyStub::answer_request(Client& client) {
    if (!client.reader.head().starts_with("POST /v1/chat/completions")) {
        client.out += nothing_;
    } else if (client.body.find("\"stub_events\"") == std::string::npos) {
        client.out += answer_;
    } else {
        begin_stream(client);
    }
}

void ProxyStub::begin_stream(Client& client) {
    const auto body = nlohmann::json::parse(client.body, nullptr, false);
    if (body.is_discarded() || client.events_left > 0) return;
    client.events_left = body.value("stub_events", int64_t{1});
    client.interval = std::chrono::microseconds(body.value("stub_interval_us", int64_t{1000}));
    client.next_event = Clock::now() + client.interval;
    due_.emplace(client.next_event, client.fd.get());
    client.out += kStreamHead;
}

bool ProxyStub::send_to(Client& client, std::string_view bytes) {
    client.out += bytes;
    if (client.out.empty()) return true;
    const ssize_t n = send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    if (n > 0) client.out.erase(0, static_cast<size_t>(n));
    if (client.blocked != !client.out.empty()) {
        client.blocked = !client.blocked;
        poller_.change(client.fd.get(), client.blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    return true;
}

void ProxyStub::send_due_events() {
    while (!due_.empty() && due_.begin()->first <= Clock::now()) {
        const int fd = due_.begin()->second;
        due_.erase(due_.begin());
        Client& client = clients_[fd];
        client.events_left -= 1;
        const bool last = client.events_left == 0;
        if (!last) {
            client.next_event += client.interval;
            due_.emplace(client.next_event, fd);
        }
        std::string bytes = chunk_of(event_sent_at(Clock::now()));
        if (last) bytes += chunk_of("data: [DONE]\n\n") + "0\r\n\r\n";
        if (!send_to(client, bytes)) drop(fd);
    }
}

}  // namespace

Status run_proxy_stub(uint16_t port) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    Result<UniqueFd> listener = listen_on(port);
    if (!listener) return listener.error();
    return ProxyStub(std::move(listener).value()).run();
}

}  // namespace spolia
