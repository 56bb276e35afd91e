#include "broker/cli/poller.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

namespace spolia {

using std::chrono::nanoseconds;

Poller::Poller()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    if (ok()) watch(timer_.get(), EPOLLIN);
}

void Poller::watch(int fd, uint32_t mask) {
    epoll_event event{mask, {}};
    event.data.fd = fd;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void Poller::change(int fd, uint32_t mask) {
    epoll_event event{mask, {}};
    event.data.fd = fd;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::arm(std::optional<Clock::time_point> until) {
    if (until == armed_) return;
    armed_ = until;
    itimerspec spec{};  // all zero: never
    if (until) {
        const int64_t ns = std::max<int64_t>(1, nanoseconds(until->time_since_epoch()).count());
        spec.it_value.tv_sec = ns / 1'000'000'000;
        spec.it_value.tv_nsec = ns % 1'000'000'000;
    }
    timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

std::span<const epoll_event> Poller::wait(std::optional<Clock::time_point> until) {
    arm(until);
    const int n = epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()), -1);
    const auto end = ready_.begin() + std::max(n, 0);
    const auto timer = std::find_if(ready_.begin(), end, [this](const epoll_event& event) {
        return event.data.fd == timer_.get();
    });
    if (timer == end) return {ready_.begin(), end};
    uint64_t expired = 0;
    // A timer that was set again in between has nothing to read, and is none the worse for it.
    if (read(timer_.get(), &expired, sizeof expired) > 0) armed_.reset();
    *timer = *(end - 1);
    return {ready_.begin(), end - 1};
}

}  // namespace spolia
