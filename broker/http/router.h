#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config.h"
#include "broker/http/auth.h"
#include "broker/http/reply.h"

namespace spolia {

class CollectionService;
class Proxy;

// Which handler answers which request. Thread-safe; handlers do no I/O.
class Router {
public:
    explicit Router(const Config& config);

    // Until a service is attached, all but /health answer that the model is loading. The service
    // must stay until it is detached and no request is being served.
    void attach(Service& service);
    // To be searched in, under the same conditions.
    void attach_collections(CollectionService& collections);
    // From here on all requests but those for this server alone (chunks, plans, statistics,
    // receipts, collections, /health, /metrics) go where it says, under the same conditions.
    void attach_proxy(Proxy& proxy);
    void detach();

    Reply route(const HttpRequest& request) const;
    // What route() answers whatever the body says: a request refused by its header needs no body.
    std::optional<HttpResponse> refuse(const HttpRequest& request) const;
    // Whether route() needs the request's body; without, it has it streamed or does not care.
    bool wants_body(const HttpRequest& head) const;

    // On every response.
    const HttpHeaders& common_headers() const { return common_headers_; }
    // Whose request it is, for the log; empty for the only tenant and for strangers.
    std::string tenant_of(const HttpRequest& request) const;

private:
    std::optional<HttpResponse> preflight(const HttpRequest& request) const;
    HttpResponse health() const;
    // Who answers in place of this server; null: itself.
    Proxy* proxy_for(const HttpRequest& request) const;

    Authenticator authenticator_;
    std::string alias_;
    JsonLimits limits_;
    HttpHeaders common_headers_;
    std::atomic<Service*> service_{nullptr};
    std::atomic<CollectionService*> collections_{nullptr};
    std::atomic<Proxy*> proxy_{nullptr};
    int64_t started_;  // Unix time
};

}  // namespace spolia
