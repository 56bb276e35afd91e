#pragma once

#include <memory>
#include <string>

#include "broker/request.h"
#include "broker/service.h"
#include "index/result.h"

namespace spolia {

// The counters and histograms of /metrics. Thread-safe.
class Metrics {
public:
    Metrics();
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    void request_started(const Receipt& receipt);
    void request_done(const GenerateOutcome& outcome);
    void request_failed(ErrorCode code);
    void chunk_encoded();
    void page_captured();

    // Prometheus text format, with the gauges as `stats` has them.
    std::string text(const ServiceStats& stats) const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
