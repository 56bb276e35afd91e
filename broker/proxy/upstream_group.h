#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/openai/prefix_router.h"
#include "adapters/openai/usage_reader.h"
#include "broker/http/upstream.h"
#include "broker/wire/upstreams.h"

namespace spolia {

// Servers that have the same models, with what is known of each. Their number never changes.
// Thread-safe.
class UpstreamGroup {
public:
    explicit UpstreamGroup(std::vector<std::shared_ptr<Upstream>> upstreams);

    size_t size() const { return members_.size(); }
    const std::shared_ptr<Upstream>& upstream(size_t index) const;
    std::optional<size_t> find(std::string_view name) const;

    // Draining: gets no more requests, and finishes those that it has.
    void set_draining(size_t index, bool draining);
    // What a health check found.
    void note_checked(size_t index, bool healthy);
    void note_sent(size_t index);
    void note_usage(size_t index, const UpstreamUsage& usage);

    std::vector<UpstreamLoad> loads() const;
    // In the order of `indices`.
    std::vector<std::shared_ptr<Upstream>> pick(const std::vector<size_t>& indices) const;
    bool ready() const;
    std::vector<UpstreamStatus> statuses() const;
    // In Prometheus's text format.
    std::string metrics_text() const;

private:
    enum class Checked : uint8_t { kNever, kHealthy, kFailed };
    struct Member {
        std::shared_ptr<Upstream> upstream;
        std::atomic<bool> draining = false;
        std::atomic<Checked> checked = Checked::kNever;
        std::atomic<uint64_t> n_sent = 0;
        std::atomic<uint64_t> cached_tokens = 0;    // of prompts
        std::atomic<uint64_t> computed_tokens = 0;  // of prompts
    };

    static bool healthy(const Member& member);

    std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace spolia
