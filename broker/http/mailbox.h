#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "index/thread_annotations.h"

namespace spolia {

// Brings values from any thread to one coroutine on a strand. What waits in it is bounded by bytes;
// beyond that values are dropped and `on_overflow` is called on the strand. Once closed it holds on
// to nothing, so that whoever still puts may outlive the strand.
template <class T>
class Mailbox : public std::enable_shared_from_this<Mailbox<T>> {
public:
    Mailbox(boost::asio::any_io_executor strand, size_t bytes_max,
            std::function<void()> on_overflow = {})
        : bytes_max_(bytes_max), on_overflow_(std::move(on_overflow)), strand_(std::move(strand)) {}

    // Any thread. Values of no bytes are always taken.
    void put(T value, size_t bytes) EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        if (!strand_ || overflowed_) return;
        if (bytes > 0 && bytes_ + bytes > bytes_max_) {
            overflowed_ = true;
            if (on_overflow_) boost::asio::post(strand_, on_overflow_);
            return;
        }
        bytes_ += bytes;
        values_.push_back(std::move(value));
        if (wake_posted_) return;
        wake_posted_ = true;
        boost::asio::post(strand_, [self = this->shared_from_this()] { self->wake(); });
    }

    // On the strand: all values since the last call, at least one; waits for it.
    boost::asio::awaitable<std::vector<T>> take() {
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
        for (;;) {
            std::vector<T> values = take_ready();
            if (!values.empty()) co_return values;
            timer.expires_at(boost::asio::steady_timer::time_point::max());
            waiting_ = &timer;
            const Waiting clear{*this};
            boost::system::error_code ignored;  // a wake cancels the timer; so does the end
            co_await timer.async_wait(
                boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        }
    }

    void close() EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        strand_ = {};
        on_overflow_ = {};
        values_.clear();
    }

private:
    // The timer is gone with the coroutine that waits on it.
    struct Waiting {
        Mailbox& mailbox;
        ~Waiting() { mailbox.waiting_ = nullptr; }
    };

    std::vector<T> take_ready() EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        bytes_ = 0;
        return std::exchange(values_, {});
    }

    void wake() EXCLUDES(mutex_) {
        {
            const MutexLock lock(mutex_);
            wake_posted_ = false;
        }
        if (waiting_ != nullptr) waiting_->cancel();
    }

    const size_t bytes_max_;
    boost::asio::steady_timer* waiting_ = nullptr;  // on the strand only

    Mutex mutex_;
    std::function<void()> on_overflow_ GUARDED_BY(mutex_);
    boost::asio::any_io_executor strand_ GUARDED_BY(mutex_);
    std::vector<T> values_ GUARDED_BY(mutex_);
    size_t bytes_ GUARDED_BY(mutex_) = 0;
    bool wake_posted_ GUARDED_BY(mutex_) = false;
    bool overflowed_ GUARDED_BY(mutex_) = false;
};

// Of the coroutine that takes from it.
template <class Box>
struct CloseAtEnd {
    Box& mailbox;
    ~CloseAtEnd() { mailbox.close(); }
};

}  // namespace spolia
