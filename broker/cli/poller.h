#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "index/unique_fd.h"

namespace spolia {

// Waits for sockets and for a moment, to the microsecond: epoll's own timeouts are late by up to a
// millisecond. For one thread.
class Poller {
public:
    using Clock = std::chrono::steady_clock;

    Poller();
    // False where the system has no descriptor left; nothing else may be called then.
    bool ok() const { return epoll_.valid() && timer_.valid(); }

    // `mask` is EPOLLIN, EPOLLOUT or both. A descriptor that is closed is watched no longer.
    void watch(int fd, uint32_t mask);
    void change(int fd, uint32_t mask);

    // Those that are ready, until the next call; none where `until` came first.
    std::span<const epoll_event> wait(std::optional<Clock::time_point> until);

private:
    void arm(std::optional<Clock::time_point> until);

    UniqueFd epoll_, timer_;
    std::optional<Clock::time_point> armed_;
    std::array<epoll_event, 256> ready_;
};

}  // namespace spolia
