#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "broker/http/upstream.h"

namespace spolia {

// Tries to connect to each upstream again and again, on a thread of its own, so that it is known
// which ones answer before a request has to find out, and after they came back.
class UpstreamProbe {
public:
    UpstreamProbe(std::vector<std::shared_ptr<Upstream>> upstreams,
                  std::chrono::milliseconds interval);
    ~UpstreamProbe();
    UpstreamProbe(const UpstreamProbe&) = delete;
    UpstreamProbe& operator=(const UpstreamProbe&) = delete;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
