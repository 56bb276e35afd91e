#include "broker/proxy/open_proxy.h"

#include <utility>
#include <vector>

#include "broker/proxy/affinity_proxy.h"
#include "broker/proxy/pass_through.h"

namespace spolia {
namespace {

// Whether somebody has to look at requests. One upstream of no kind gets them untouched.
bool needs_affinity(const UpstreamConfig& config) {
    if (config.kind != UpstreamKind::kAuto) return config.kind == UpstreamKind::kOpenai;
    return config.affinity.value_or(config.urls.size() > 1) || config.stable_tools ||
           config.document_order || config.cache_salt || config.warm_up ||
           !config.separator.empty();
}

}  // namespace

Result<std::unique_ptr<Proxy>> open_proxy(const UpstreamConfig& config) {
    std::vector<std::shared_ptr<Upstream>> upstreams;
    for (const std::string& url : config.urls) {
        Result<std::shared_ptr<Upstream>> upstream = Upstream::open(url, config);
        if (!upstream.ok()) return upstream.error();
        upstreams.push_back(*std::move(upstream));
    }
    if (needs_affinity(config)) {
        return std::unique_ptr<Proxy>(std::make_unique<AffinityProxy>(config, upstreams));
    }
    return std::unique_ptr<Proxy>(std::make_unique<PassThrough>(std::move(upstreams)));
}

}  // namespace spolia
