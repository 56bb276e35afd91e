#include "broker/worker_pool.h"

#include <exception>
#include <utility>

#include "broker/log.h"

namespace spolia {

WorkerPool::WorkerPool(size_t n_threads, size_t waiting_max, std::string purpose)
    : waiting_max_(waiting_max), purpose_(std::move(purpose)) {
    for (size_t i = 0; i < n_threads; ++i) threads_.emplace_back([this] { serve(); });
}

WorkerPool::~WorkerPool() {
    {
        const MutexLock lock(mutex_);
        stopped_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

Status WorkerPool::run(std::function<void()> work) {
    {
        const MutexLock lock(mutex_);
        if (waiting_.size() >= waiting_max_) {
            return Error{ErrorCode::kOverloaded, std::to_string(waiting_.size()) +
                                                     " requests wait for " + purpose_ +
                                                     " already; try again later"};
        }
        waiting_.push_back(std::move(work));
    }
    wake_.notify_one();
    return {};
}

void WorkerPool::serve() {
    for (;;) {
        std::function<void()> next;
        {
            const MutexLock lock(mutex_);
            while (waiting_.empty() && !stopped_) wake_.wait(mutex_);
            if (stopped_) return;
            next = std::move(waiting_.front());
            waiting_.pop_front();
        }
        try {
            next();
        } catch (const std::exception& failure) {
            log_event(LogLevel::kError, "work failed", {{"error", failure.what()}});
        }
    }
}

}  // namespace spolia
