#pragma once

#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "broker/http/upstream.h"
#include "index/thread_annotations.h"

namespace spolia {

// Sends requests whose answers nobody waits for, one after the other, on a thread of its own: so
// that a server has read a text before the first prompt with it comes.
class WarmUp {
public:
    static constexpr size_t kQueueMax = 256;

    WarmUp();
    // What is queued is dropped.
    ~WarmUp();
    WarmUp(const WarmUp&) = delete;
    WarmUp& operator=(const WarmUp&) = delete;

    // A body for /v1/chat/completions. False: the queue is full, or the server is one behind TLS,
    // which the client does not speak.
    bool send(std::shared_ptr<Upstream> upstream, std::string body) EXCLUDES(mutex_);

private:
    struct Job {
        std::shared_ptr<Upstream> upstream;
        std::string body;
    };

    void run() EXCLUDES(mutex_);
    static void send_now(const Job& job);

    Mutex mutex_;
    CondVar changed_;
    std::deque<Job> jobs_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace spolia
