#include "broker/proxy/upstream_group.h"

#include <algorithm>

namespace spolia {

UpstreamGroup::UpstreamGroup(std::vector<std::shared_ptr<Upstream>> upstreams) {
    for (std::shared_ptr<Upstream>& upstream : upstreams) {
        members_.push_back(std::make_unique<Member>());
        members_.back()->upstream = std::move(upstream);
    }
}

const std::shared_ptr<Upstream>& UpstreamGroup::upstream(size_t index) const {
    return members_[index]->upstream;
}

std::optional<size_t> UpstreamGroup::find(std::string_view name) const {
    for (size_t i = 0; i < members_.size(); ++i) {
        if (members_[i]->upstream->name() == name) return i;
    }
    return std::nullopt;
}

void UpstreamGroup::set_draining(size_t index, bool draining) {
    members_[index]->draining = draining;
}

void UpstreamGroup::note_checked(size_t index, bool healthy) {
    members_[index]->checked = healthy ? Checked::kHealthy : Checked::kFailed;
    if (healthy) members_[index]->upstream->note_connected();
}

void UpstreamGroup::note_sent(size_t index) { ++members_[index]->n_sent; }

void UpstreamGroup::note_usage(size_t index, const UpstreamUsage& usage) {
    if (!usage.prompt_tokens) return;
    const int64_t cached =
        std::clamp<int64_t>(usage.cached_tokens.value_or(0), 0, *usage.prompt_tokens);
    members_[index]->cached_tokens += static_cast<uint64_t>(cached);
    members_[index]->computed_tokens += static_cast<uint64_t>(*usage.prompt_tokens - cached);
}

bool UpstreamGroup::healthy(const Member& member) {
    return member.checked != Checked::kFailed && member.upstream->healthy();
}

std::vector<UpstreamLoad> UpstreamGroup::loads() const {
    std::vector<UpstreamLoad> loads;
    for (const std::unique_ptr<Member>& member : members_) {
        loads.push_back({member->upstream->name(), healthy(*member), member->draining,
                         static_cast<int32_t>(member->upstream->n_in_flight())});
    }
    return loads;
}

std::vector<std::shared_ptr<Upstream>> UpstreamGroup::pick(
    const std::vector<size_t>& indices) const {
    std::vector<std::shared_ptr<Upstream>> upstreams;
    for (const size_t index : indices) upstreams.push_back(members_[index]->upstream);
    return upstreams;
}

bool UpstreamGroup::ready() const {
    return std::any_of(members_.begin(), members_.end(), [](const auto& member) {
        const bool seen = member->checked == Checked::kHealthy || member->upstream->answers();
        return seen && !member->draining && healthy(*member);
    });
}

std::vector<UpstreamStatus> UpstreamGroup::statuses() const {
    uint64_t n_all = 0;
    for (const auto& member : members_) n_all += member->n_sent;
    std::vector<UpstreamStatus> statuses;
    for (const auto& member : members_) {
        const uint64_t cached = member->cached_tokens, n_sent = member->n_sent;
        UpstreamStatus status;
        status.name = member->upstream->name();
        status.healthy = healthy(*member);
        status.draining = member->draining;
        status.in_flight = member->upstream->n_in_flight();
        status.requests = static_cast<int64_t>(n_sent);
        status.share = n_all == 0 ? 0 : static_cast<double>(n_sent) / static_cast<double>(n_all);
        status.prompt_tokens = static_cast<int64_t>(cached + member->computed_tokens);
        status.cached_tokens = static_cast<int64_t>(cached);
        statuses.push_back(std::move(status));
    }
    return statuses;
}

std::string UpstreamGroup::metrics_text() const {
    std::vector<std::shared_ptr<Upstream>> upstreams;
    for (const auto& member : members_) upstreams.push_back(member->upstream);
    MetricsText metrics;
    add_upstream_metrics(upstreams, metrics);
    metrics.counter("spolia_upstream_prompt_tokens_total", "Tokens of prompts, as upstreams told.");
    for (const auto& member : members_) {
        const std::string& name = member->upstream->name();
        metrics.add({{"upstream", name}, {"source", "cached"}},
                    static_cast<double>(member->cached_tokens));
        metrics.add({{"upstream", name}, {"source", "computed"}},
                    static_cast<double>(member->computed_tokens));
    }
    return metrics.text();
}

}  // namespace spolia
