#pragma once

#include <chrono>
#include <stop_token>
#include <thread>

#include "broker/proxy/upstream_group.h"
#include "index/thread_annotations.h"

namespace spolia {

// Asks each server for /health, one after the other and again after a while, on a thread of its
// own. One that answers 5xx, or not, is not healthy; any other answer is one, since not all servers
// have the path. Servers behind TLS are known by their requests only.
class HealthChecks {
public:
    // `group` must outlive it.
    HealthChecks(UpstreamGroup& group, std::chrono::milliseconds interval);
    ~HealthChecks();
    HealthChecks(const HealthChecks&) = delete;
    HealthChecks& operator=(const HealthChecks&) = delete;

private:
    void run() EXCLUDES(mutex_);
    void check(size_t index);

    UpstreamGroup& group_;
    const std::chrono::milliseconds interval_;
    Mutex mutex_;
    CondVar changed_;
    std::stop_source stop_;
    std::vector<bool> was_healthy_;  // the thread's
    std::thread thread_;
};

}  // namespace spolia
