#include "broker/cli/stream_load.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <unordered_map>

#include "broker/cli/chat_request.h"
#include "broker/cli/http_reader.h"
#include "broker/cli/loopback.h"
#include "broker/cli/poller.h"
#include "broker/cli/proxy_measures.h"

namespace spolia {
namespace {

using Clock = Poller::Clock;

constexpr std::chrono::seconds kBehindMax{30};

class StreamReaders {
public:
    StreamReaders(const StreamLoad& load, const std::function<void()>& all_running)
        : load_(load),
          all_running_(all_running),
          request_(stream_request(load.events, load.interval)),
          start_(Clock::now()) {}

    Status run();
    Samples lateness() && { return std::move(lateness_); }

private:
    struct Stream {
        UniqueFd fd;
        HttpReader reader;
        std::string body;
        int events = 0;
    };

    Clock::time_point next_opening() const {
        return start_ + load_.interval * opened_ / load_.streams;
    }
    Status open_due();
    Status receive(int fd);
    void count_event(Stream& stream, int64_t sent_ns);

    const StreamLoad& load_;
    const std::function<void()>& all_running_;
    const std::string request_;
    const Clock::time_point start_;
    Poller poller_;
    std::unordered_map<int, Stream> streams_;
    int opened_ = 0, with_events_ = 0, ended_ = 0;
    Samples lateness_;
};

Status StreamReaders::run() {
    if (!poller_.ok()) return Error{ErrorCode::kIo, "no descriptor is left"};
    const auto deadline = start_ + kBehindMax + load_.interval * (load_.events + 1);
    bool told = false;
    while (ended_ < load_.streams) {
        if (Status status = open_due(); !status) return status;
        for (const epoll_event& event :
             poller_.wait(opened_ < load_.streams ? next_opening() : deadline)) {
            if (Status status = receive(event.data.fd); !status) return status;
        }
        if (!told && with_events_ == load_.streams) {
            told = true;
            if (all_running_) all_running_();
        }
        if (Clock::now() > deadline) {
            return Error{ErrorCode::kIo, std::to_string(ended_) + " of " +
                                             std::to_string(load_.streams) +
                                             " streams ended in time"};
        }
    }
    return {};
}

Status StreamReaders::open_due() {
    while (opened_ < load_.streams && next_opening() <= Clock::now()) {
        Result<UniqueFd> fd = connect_to(load_.port);
        if (!fd) return fd.error();
        const int number = fd->get();
        if (send(number, request_.data(), request_.size(), MSG_NOSIGNAL) < 0) {
            return Error{ErrorCode::kIo, "a server hung up on a new connection"};
        }
        poller_.watch(number, EPOLLIN);
        streams_[number].fd = std::move(fd).value();
        opened_ += 1;
    }
    return {};
}

Status StreamReaders::receive(int fd) {
    Stream& stream = streams_[fd];
    std::array<char, 16384> buffer;
    const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EAGAIN) return {};
    const std::string_view bytes(buffer.data(), static_cast<size_t>(std::max<ssize_t>(n, 0)));
    stream.reader.take(bytes, stream.body);
    for (const int64_t sent_ns : take_sent_times(stream.body)) count_event(stream, sent_ns);
    if (stream.reader.done() && stream.events == load_.events) {
        ended_ += 1;
        streams_.erase(fd);
        return {};
    }
    if (n > 0 && !stream.reader.broken() && !stream.reader.done()) return {};
    return Error{ErrorCode::kIo, "a stream ended behind " + std::to_string(stream.events) + " of " +
                                     std::to_string(load_.events) +
                                     " events: " + std::string(stream.reader.head()) + stream.body};
}

void StreamReaders::count_event(Stream& stream, int64_t sent_ns) {
    const std::chrono::duration<double, std::micro> late =
        Clock::now().time_since_epoch() - std::chrono::nanoseconds(sent_ns);
    lateness_.add(late.count());
    if (stream.events++ == 0) with_events_ += 1;
}

}  // namespace

Result<Samples> read_streams(const StreamLoad& load, const std::function<void()>& all_running) {
    StreamReaders readers(load, all_running);
    if (Status status = readers.run(); !status) return status.error();
    return std::move(readers).lateness();
}

}  // namespace spolia
