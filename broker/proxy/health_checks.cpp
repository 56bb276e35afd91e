#include "broker/proxy/health_checks.h"

#include "broker/http/client.h"
#include "broker/log.h"

namespace spolia {
namespace {

// A server that takes longer is too busy to be sent more.
constexpr std::chrono::milliseconds kPatience{2000};

}  // namespace

HealthChecks::HealthChecks(UpstreamGroup& group, std::chrono::milliseconds interval)
    : group_(group),
      was_healthy_(group.size(), true),
      work_("checking upstreams", interval, [this](const std::stop_token& stop) {
          for (size_t i = 0; i < group_.size() && !stop.stop_requested(); ++i) check(i, stop);
      }) {}

void HealthChecks::check(size_t index, const std::stop_token& stop) {
    const Upstream& upstream = *group_.upstream(index);
    const HttpUrl& url = upstream.url();
    if (url.tls) return;
    HttpClient client(url.host, url.port, kPatience);
    client.set_bearer(upstream.config().key);
    client.set_stop(stop);
    const Result<HttpReply> reply = client.call("GET", url.path + "/health");
    const bool healthy = reply.ok() && reply->status < 500;
    if (stop.stop_requested()) return;
    group_.note_checked(index, healthy);
    if (healthy == was_healthy_[index]) return;
    was_healthy_[index] = healthy;
    const std::string reason = healthy      ? ""
                               : reply.ok() ? "HTTP " + std::to_string(reply->status)
                                            : reply.error().message;
    log_event(healthy ? LogLevel::kInfo : LogLevel::kWarning,
              healthy ? "an upstream is healthy again" : "an upstream is not healthy",
              {{"upstream", upstream.name()}, {"reason", reason}});
}

}  // namespace spolia
