#include "broker/proxy/open_proxy.h"

#include <utility>
#include <vector>

#include "broker/proxy/pass_through.h"

namespace spolia {

Result<std::unique_ptr<Proxy>> open_proxy(const UpstreamConfig& config) {
    std::vector<std::shared_ptr<Upstream>> upstreams;
    for (const std::string& url : config.urls) {
        Result<std::shared_ptr<Upstream>> upstream = Upstream::open(url, config);
        if (!upstream.ok()) return upstream.error();
        upstreams.push_back(*std::move(upstream));
    }
    return std::unique_ptr<Proxy>(std::make_unique<PassThrough>(std::move(upstreams)));
}

}  // namespace spolia
