#include "broker/proxy/server_call.h"

#include <chrono>
#include <memory>
#include <utility>

#include "broker/http/client.h"
#include "broker/http/url.h"

namespace spolia {
namespace {

// Restoring waits for the slot, which somebody who goes past us may have taken.
constexpr std::chrono::seconds kTimeout{30};
constexpr uint64_t kReplyBytesMax = uint64_t{256} << 20;

}  // namespace

Result<ServerCall> open_server_call(const UpstreamConfig& config, std::stop_token stop) {
    const Result<HttpUrl> given = parse_http_url(config.urls.front());
    if (!given) return given.error();
    const HttpUrl url = without_version(*given);
    const auto client = std::make_shared<HttpClient>(url.host, url.port, kTimeout, kReplyBytesMax);
    client->set_bearer(config.key);
    client->set_stop(std::move(stop));
    return ServerCall([client, path = url.path](std::string_view method, std::string_view target,
                                                std::string body) -> Result<ServerReply> {
        Result<HttpReply> reply = client->call(method, path + std::string(target), std::move(body));
        if (!reply) return reply.error();
        return ServerReply{reply->status, std::move(reply->body)};
    });
}

}  // namespace spolia
