#include "broker/http/upstream.h"

#include <algorithm>
#include <utility>

#include "broker/http/upstream_tls.h"

namespace spolia {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPassedOverFirst{250};
constexpr uint32_t kPassedOverDoublings = 7;  // 32 s

std::atomic<uint64_t> n_opened = 0;

}  // namespace

std::string_view to_string(UpstreamFailure failure) {
    switch (failure) {
        case UpstreamFailure::kConnect: return "connect";
        case UpstreamFailure::kHeaderTimeout: return "header_timeout";
        case UpstreamFailure::kIdleTimeout: return "idle_timeout";
        case UpstreamFailure::kClosed: return "closed";
        case UpstreamFailure::kMalformed: return "malformed";
    }
    return "";
}

Upstream::Upstream(HttpUrl url, const UpstreamConfig& config)
    : id_(++n_opened),
      url_(std::move(url)),
      name_(authority_of(url_.host, url_.port)),
      config_(config),
      names_(std::make_shared<NameLookup>(url_.host, url_.port)) {}

Upstream::~Upstream() = default;

Result<std::shared_ptr<Upstream>> Upstream::open(const std::string& url,
                                                 const UpstreamConfig& config) {
    const Result<HttpUrl> parsed = parse_url(url);
    if (!parsed.ok()) return parsed.error();
    std::shared_ptr<Upstream> upstream(new Upstream(without_version(*parsed), config));
    if (parsed->tls) {
        Result<std::unique_ptr<UpstreamTls>> tls = UpstreamTls::open(config.ca_file);
        if (!tls.ok()) return tls.error();
        upstream->tls_ = *std::move(tls);
    }
    return upstream;
}

bool Upstream::healthy(Clock::time_point now) const {
    return now.time_since_epoch().count() >= passed_over_until_;
}

void Upstream::note_connected() {
    answers_ = true;
    n_connects_failed_ = 0;
    passed_over_until_ = 0;
}

void Upstream::note_failure(UpstreamFailure failure) {
    ++n_failures_[static_cast<size_t>(failure)];
    if (failure == UpstreamFailure::kConnect) note_unreachable();
}

void Upstream::note_unreachable() {
    answers_ = false;
    const uint32_t doublings = std::min(n_connects_failed_++, kPassedOverDoublings);
    const Clock::time_point until = Clock::now() + kPassedOverFirst * (1u << doublings);
    passed_over_until_ = until.time_since_epoch().count();
}

void Upstream::note_status(int status) {
    const int status_class = std::clamp(status / 100, 1, static_cast<int>(kStatusClasses));
    ++n_statuses_[static_cast<size_t>(status_class - 1)];
}

void add_upstream_metrics(std::span<const std::shared_ptr<Upstream>> upstreams,
                          MetricsText& metrics) {
    metrics.counter("spolia_upstream_requests_total", "Responses of upstreams, by status.");
    for (const auto& upstream : upstreams) {
        for (size_t i = 0; i < Upstream::kStatusClasses; ++i) {
            metrics.add(
                {{"upstream", upstream->name()}, {"status_class", std::to_string(i + 1) + "xx"}},
                static_cast<double>(upstream->n_statuses_[i]));
        }
    }
    metrics.counter("spolia_upstream_failures_total", "Requests upstreams failed, by reason.");
    for (const auto& upstream : upstreams) {
        for (size_t i = 0; i < kUpstreamFailures; ++i) {
            const std::string_view reason = to_string(static_cast<UpstreamFailure>(i));
            metrics.add({{"upstream", upstream->name()}, {"reason", std::string(reason)}},
                        static_cast<double>(upstream->n_failures_[i]));
        }
    }
    metrics.gauge("spolia_upstream_in_flight", "Requests that upstreams are working on.");
    for (const auto& upstream : upstreams) {
        metrics.add({{"upstream", upstream->name()}}, upstream->n_in_flight());
    }
}

std::vector<std::shared_ptr<Upstream>> by_load(std::span<const std::shared_ptr<Upstream>> upstreams,
                                               size_t turn) {
    std::vector<std::shared_ptr<Upstream>> ordered(upstreams.begin(), upstreams.end());
    if (ordered.size() < 2) return ordered;
    std::ranges::rotate(ordered,
                        ordered.begin() + static_cast<std::ptrdiff_t>(turn % ordered.size()));
    // Taken once: both change while others are served.
    const Upstream::Clock::time_point now = Upstream::Clock::now();
    std::vector<std::pair<bool, uint32_t>> ranks;
    std::vector<size_t> order;
    for (const auto& upstream : ordered) {
        order.push_back(ranks.size());
        ranks.emplace_back(!upstream->healthy(now), upstream->n_in_flight());
    }
    std::ranges::stable_sort(order, {}, [&](size_t i) { return ranks[i]; });
    std::vector<std::shared_ptr<Upstream>> sorted;
    for (const size_t i : order) sorted.push_back(std::move(ordered[i]));
    return sorted;
}

}  // namespace spolia
