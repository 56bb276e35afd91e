#pragma once

#include <chrono>
#include <stop_token>
#include <vector>

#include "broker/proxy/upstream_group.h"
#include "broker/repeated_work.h"

namespace spolia {

// Asks each server for /health, one after the other and again after a while, on a thread of its
// own. One that answers 5xx, or not, is not healthy; any other answer is one, since not all servers
// have the path. Servers behind TLS are known by their requests only.
class HealthChecks {
public:
    // `group` must outlive it.
    HealthChecks(UpstreamGroup& group, std::chrono::milliseconds interval);

private:
    void check(size_t index, const std::stop_token& stop);

    UpstreamGroup& group_;
    std::vector<bool> was_healthy_;  // the thread's
    RepeatedWork work_;
};

}  // namespace spolia
