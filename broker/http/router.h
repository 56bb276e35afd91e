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

// Which handler answers which request. Thread-safe; handlers do no I/O.
class Router {
public:
    explicit Router(const Config& config);

    // Until a service is attached, all but /health answer that the model is loading. The service
    // must stay until it is detached and no request is being served.
    void attach(Service& service);
    // To be searched in, under the same conditions.
    void attach_collections(CollectionService& collections);
    void detach();

    Reply route(const HttpRequest& request) const;
    // What route() answers whatever the body says: a request refused by its header needs no body.
    std::optional<HttpResponse> refuse(const HttpRequest& request) const;

    // On every response.
    const HttpHeaders& common_headers() const { return common_headers_; }
    // Whose request it is, for the log; empty for the only tenant and for strangers.
    std::string tenant_of(const HttpRequest& request) const;

private:
    std::optional<HttpResponse> preflight(const HttpRequest& request) const;

    Authenticator authenticator_;
    std::string alias_;
    JsonLimits limits_;
    HttpHeaders common_headers_;
    std::atomic<Service*> service_{nullptr};
    std::atomic<CollectionService*> collections_{nullptr};
    int64_t started_;  // Unix time
};

}  // namespace spolia
