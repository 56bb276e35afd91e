#pragma once

#include <memory>
#include <string>
#include <string_view>

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
    // A shadow prefill that came to a comparison.
    void shadow_compared(double kl);
    // One that did not: cancelled | dropped | failed | unavailable.
    void shadow_ended(std::string_view result);
    void guard_demoted();

    // Prometheus text format, with the gauges as `stats` has them.
    std::string text(const ServiceStats& stats) const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
