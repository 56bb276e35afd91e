#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>

#include "index/thread_annotations.h"

namespace spolia {

// Does something again and again, on a thread of its own, at once for the first time. Of whoever
// owns it the last member: the work may use all others.
class RepeatedWork {
public:
    // The work is told when it is to end early. What it throws is logged as a failure of `purpose`.
    RepeatedWork(std::string purpose, std::chrono::milliseconds pause,
                 std::function<void(const std::stop_token& stop)> work);
    ~RepeatedWork();  // stops the work and waits for its end
    RepeatedWork(const RepeatedWork&) = delete;
    RepeatedWork& operator=(const RepeatedWork&) = delete;

private:
    void run() EXCLUDES(mutex_);

    const std::string purpose_;
    const std::chrono::milliseconds pause_;
    const std::function<void(const std::stop_token&)> work_;
    std::stop_source stop_;
    Mutex mutex_;
    CondVar wake_;
    std::thread thread_;
};

}  // namespace spolia
