#pragma once

#include <string>
#include <string_view>

#include "broker/http/reply.h"

namespace spolia {

// Says where requests go that are not for this server alone. Thread-safe; does no I/O of its own on
// the calling thread.
class Proxy {
public:
    virtual ~Proxy() = default;

    virtual Reply route(const HttpRequest& request, std::string_view tenant) = 0;
    // Whether route() has to see the body of a request with this head. Others' are streamed, and
    // never held as a whole; route() then sees none.
    virtual bool wants_body(const HttpRequest& head) const = 0;

    // Whether a request for this server alone (Router::attach_proxy) goes to route() all the same.
    virtual bool answers(const HttpRequest& /*head*/) const { return false; }

    // Whether some upstream answers.
    virtual bool ready() const = 0;
    // In Prometheus's text format, for /metrics.
    virtual std::string metrics_text() const = 0;
};

}  // namespace spolia
