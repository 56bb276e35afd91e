#include "broker/http/deadline.h"

#include <utility>

namespace spolia {

void Deadline::set(std::chrono::milliseconds from_now, std::function<void()> expire) {
    when_ = Clock::now() + from_now;
    expire_ = std::move(expire);
    if (when_ < armed_for_) arm();
}

void Deadline::clear() {
    when_ = Clock::time_point::max();
    expire_ = nullptr;
}

void Deadline::stop() {
    clear();
    timer_.cancel();
}

void Deadline::arm() {
    armed_for_ = when_;
    timer_.expires_at(when_);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error) self->on_timer();
    });
}

void Deadline::on_timer() {
    armed_for_ = Clock::time_point::max();
    if (when_ == Clock::time_point::max()) return;
    if (Clock::now() < when_) return arm();
    const std::function<void()> expire = std::exchange(expire_, nullptr);
    clear();
    expire();
}

}  // namespace spolia
