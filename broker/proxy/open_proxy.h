#pragma once

#include <memory>

#include "broker/config.h"
#include "broker/http/proxy.h"
#include "index/result.h"

namespace spolia {

// The proxy for the configured upstreams, of which there must be some.
Result<std::unique_ptr<Proxy>> open_proxy(const UpstreamConfig& config);

}  // namespace spolia
