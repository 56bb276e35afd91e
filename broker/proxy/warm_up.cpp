#include "broker/proxy/warm_up.h"

#include <chrono>
#include <utility>

#include "broker/http/client.h"
#include "broker/log.h"

namespace spolia {
namespace {

// For a long text on a busy server. The end of this process waits for it.
constexpr std::chrono::seconds kPatience{20};

void send_now(Upstream& upstream, const std::string& text) {
    const HttpUrl& url = upstream.url();
    const Upstream::InFlight in_flight(upstream);
    HttpClient client(url.host, url.port, kPatience);
    client.set_bearer(upstream.config().key);
    const Result<HttpReply> reply = client.call("POST", url.path + "/v1/chat/completions", text);
    if (reply.ok() && reply->status == 200) return;
    const std::string reason =
        reply.ok() ? "HTTP " + std::to_string(reply->status) : reply.error().message;
    log_event(LogLevel::kWarning, "a text could not be warmed up",
              {{"upstream", upstream.name()}, {"reason", reason}});
}

}  // namespace

bool WarmUp::send(std::shared_ptr<Upstream> upstream, std::string body) {
    if (upstream->url().tls) return false;
    return worker_
        .run(
            [upstream = std::move(upstream), body = std::move(body)] { send_now(*upstream, body); })
        .ok();
}

}  // namespace spolia
