#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace spolia {

// A time limit that moves with each step of an exchange and hardly ever runs out: moving it further
// away is a store, the timer is only set again when it fires too early. On one strand.
class Deadline : public std::enable_shared_from_this<Deadline> {
public:
    explicit Deadline(const boost::asio::any_io_executor& strand) : timer_(strand) {}

    // Calls `expire` then, unless the deadline was set again or cleared before.
    void set(std::chrono::milliseconds from_now, std::function<void()> expire);
    void clear();
    // Lets go of the timer, for good.
    void stop();

private:
    using Clock = std::chrono::steady_clock;

    void arm();
    void on_timer();

    boost::asio::steady_timer timer_;
    std::function<void()> expire_;
    Clock::time_point when_ = Clock::time_point::max();
    Clock::time_point armed_for_ = Clock::time_point::max();  // max: the timer does not run
};

}  // namespace spolia
