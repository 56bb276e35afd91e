#include "broker/repeated_work.h"

#include <exception>
#include <utility>

#include "broker/log.h"

namespace spolia {

RepeatedWork::RepeatedWork(std::string purpose, std::chrono::milliseconds pause,
                           std::function<void(const std::stop_token&)> work)
    : purpose_(std::move(purpose)),
      pause_(pause),
      work_(std::move(work)),
      thread_([this] { run(); }) {}

RepeatedWork::~RepeatedWork() {
    stop_.request_stop();
    { const MutexLock lock(mutex_); }  // by now the thread waits, or has seen it
    wake_.notify_all();
    thread_.join();
}

void RepeatedWork::run() {
    while (!stop_.stop_requested()) {
        try {
            work_(stop_.get_token());
        } catch (const std::exception& failure) {
            log_event(LogLevel::kError, purpose_ + " failed", {{"error", failure.what()}});
        }
        const auto next = std::chrono::steady_clock::now() + pause_;
        const MutexLock lock(mutex_);
        while (!stop_.stop_requested() && wake_.wait_until(mutex_, next)) {}
    }
}

}  // namespace spolia
