#include "broker/cli/fixed_rate.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <deque>
#include <unordered_map>

#include "broker/cli/http_reader.h"
#include "broker/cli/loopback.h"
#include "broker/cli/poller.h"
#include "broker/cli/proxy_measures.h"

namespace spolia {
namespace {

using Clock = Poller::Clock;

constexpr std::chrono::seconds kBehindMax{30};

class FixedRateLoad {
public:
    explicit FixedRateLoad(const FixedRate& load)
        : load_(load),
          schedule_(Clock::now() + std::chrono::milliseconds(10), load.per_second, load.total) {}

    Status connect_all();
    Status run();
    Samples latencies() && { return std::move(latencies_); }

private:
    struct Connection {
        UniqueFd fd;
        HttpReader reader;
        Clock::time_point due;
        bool recorded = false;
    };

    Status send_due();
    Status receive(Connection& connection);

    const FixedRate& load_;
    OpenLoopSchedule schedule_;
    Poller poller_;
    std::unordered_map<int, Connection> connections_;
    std::deque<int> free_;
    std::string body_;
    int64_t sent_ = 0, answered_ = 0;
    Samples latencies_;
};

Status FixedRateLoad::connect_all() {
    if (!poller_.ok()) return Error{ErrorCode::kIo, "no descriptor is left"};
    for (int i = 0; i < load_.connections; ++i) {
        Result<UniqueFd> fd = connect_to(load_.port);
        if (!fd) return fd.error();
        const int number = fd->get();
        connections_[number].fd = std::move(fd).value();
        poller_.watch(number, EPOLLIN);
        free_.push_back(number);
    }
    return {};
}

Status FixedRateLoad::run() {
    const auto deadline =
        Clock::now() + kBehindMax + std::chrono::seconds(load_.total / load_.per_second);
    while (answered_ < load_.total) {
        if (Status status = send_due(); !status) return status;
        // While all connections are taken, an answer is what there is to wait for.
        const bool can_send = !schedule_.all_taken() && !free_.empty();
        for (const epoll_event& event : poller_.wait(can_send ? schedule_.next_due() : deadline)) {
            if (Status status = receive(connections_[event.data.fd]); !status) return status;
        }
        if (Clock::now() > deadline) {
            return Error{ErrorCode::kIo, "port " + std::to_string(load_.port) + " answered " +
                                             std::to_string(answered_) + " of " +
                                             std::to_string(load_.total) + " requests in time"};
        }
    }
    return {};
}

Status FixedRateLoad::send_due() {
    while (!free_.empty() && schedule_.is_due(Clock::now())) {
        Connection& connection = connections_[free_.front()];
        free_.pop_front();
        connection.due = schedule_.take();
        connection.recorded = sent_++ >= load_.unrecorded;
        // A few kilobytes always fit the empty buffer of a connection whose last answer is read.
        const ssize_t n =
            send(connection.fd.get(), load_.request.data(), load_.request.size(), MSG_NOSIGNAL);
        if (n != static_cast<ssize_t>(load_.request.size())) {
            return Error{ErrorCode::kIo, "a server hung up between requests"};
        }
    }
    return {};
}

Status FixedRateLoad::receive(Connection& connection) {
    std::array<char, 16384> buffer;
    const ssize_t n = recv(connection.fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EAGAIN) return {};
    if (n <= 0) return Error{ErrorCode::kIo, "a server hung up on a request"};
    const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
    if (connection.reader.take(bytes, body_) != bytes.size() || connection.reader.broken()) {
        return Error{ErrorCode::kIo, "a server's answer is no HTTP, or more than was asked for"};
    }
    if (!connection.reader.done()) return {};
    const auto late = Clock::now() - connection.due;
    if (connection.recorded) {
        latencies_.add(std::chrono::duration<double, std::micro>(late).count());
    }
    if (!connection.reader.head().starts_with("HTTP/1.1 200")) {
        return Error{ErrorCode::kIo, "a server answered " + body_.substr(0, 300)};
    }
    answered_ += 1;
    connection.reader.restart();
    body_.clear();
    free_.push_back(connection.fd.get());
    return {};
}

}  // namespace

Result<Samples> measure_fixed_rate(const FixedRate& load) {
    FixedRateLoad running(load);
    if (Status status = running.connect_all(); !status) return status.error();
    if (Status status = running.run(); !status) return status.error();
    return std::move(running).latencies();
}

}  // namespace spolia
