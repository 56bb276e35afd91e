#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "broker/http/proxy.h"
#include "broker/http/upstream_probe.h"

namespace spolia {

// Forwards every request untouched, to the least busy upstream that can be reached.
class PassThrough : public Proxy {
public:
    explicit PassThrough(std::vector<std::shared_ptr<Upstream>> upstreams)
        : upstreams_(std::move(upstreams)), probe_(upstreams_, kProbeInterval) {}

    Reply route(const HttpRequest& request, std::string_view tenant) override;
    bool wants_body(const HttpRequest&) const override { return false; }
    bool ready() const override;
    std::string metrics_text() const override {
        MetricsText metrics;
        add_upstream_metrics(upstreams_, metrics);
        return metrics.text();
    }

private:
    static constexpr std::chrono::milliseconds kProbeInterval{2000};

    const std::vector<std::shared_ptr<Upstream>> upstreams_;
    const UpstreamProbe probe_;
    std::atomic<size_t> turn_ = 0;
};

}  // namespace spolia
