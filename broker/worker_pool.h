#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "index/result.h"
#include "index/thread_annotations.h"

namespace spolia {

// Threads for work that waits: for files, for other servers. Thread-safe.
class WorkerPool {
public:
    // `purpose` completes "256 requests wait for ... already".
    WorkerPool(size_t n_threads, size_t waiting_max, std::string purpose);
    ~WorkerPool();  // finishes what runs, drops what waits
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // kOverloaded when too much waits; then the work is never done.
    Status run(std::function<void()> work) EXCLUDES(mutex_);

private:
    void serve() EXCLUDES(mutex_);

    const size_t waiting_max_;
    const std::string purpose_;

    Mutex mutex_;
    CondVar wake_;
    std::deque<std::function<void()>> waiting_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::vector<std::thread> threads_;
};

}  // namespace spolia
