#include "broker/http/router.h"

#include <ctime>

#include "broker/http/field_block.h"
#include "broker/http/handlers.h"
#include "broker/http/proxy.h"
#include "broker/wire/status.h"

namespace spolia {
namespace {

struct Route {
    std::string_view method;
    std::string_view path;  // a last "*" stands for any text
    Reply (*handle)(const HandlerContext& context);
};

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", handle_chat},
    {"POST", "/v1/completions", handle_completion},
    {"POST", "/v1/embeddings", handle_embeddings},
    {"GET", "/v1/models", handle_models},
    {"POST", "/tokenize", handle_tokenize},
    {"POST", "/detokenize", handle_detokenize},
    {"POST", "/apply-template", handle_apply_template},
    {"GET", "/metrics", handle_metrics},
    {"PUT", "/v1/chunks", handle_put_chunks},
    {"GET", "/v1/chunks", handle_list_chunks},
    {"GET", "/v1/chunks/*", handle_get_chunk},
    {"DELETE", "/v1/chunks/*", handle_delete_chunk},
    {"GET", "/v1/collections", handle_list_collections},
    {"DELETE", "/v1/collections/*", handle_delete_collection},
    {"POST", "/v1/retrieve", handle_retrieve},
    {"GET", "/v1/receipts/*", handle_receipt},
    {"GET", "/v1/cache/stats", handle_stats},
    {"POST", "/v1/plan", handle_plan},
};

// HEAD is GET without the body, which the connection leaves out.
std::string_view routed_method(const HttpRequest& request) {
    return request.method == "HEAD" ? std::string_view("GET") : request.method;
}

bool matches(std::string_view pattern, std::string_view path) {
    if (!pattern.ends_with('*')) return pattern == path;
    pattern.remove_suffix(1);
    return path.size() > pattern.size() && path.starts_with(pattern);
}

std::string_view tail_of(const Route& route, std::string_view path) {
    return route.path.ends_with('*') ? path.substr(route.path.size() - 1) : std::string_view();
}

const Route* find_route(const HttpRequest& request) {
    for (const Route& route : kRoutes) {
        if (matches(route.path, request.path) && route.method == routed_method(request)) {
            return &route;
        }
    }
    return nullptr;
}

// 405 with what is allowed where the path is known, 404 where it is not.
HttpResponse no_route(const HttpRequest& request) {
    std::string allowed;
    for (const Route& route : kRoutes) {
        if (matches(route.path, request.path)) allowed += std::string(route.method) + ", ";
    }
    if (allowed.empty()) {
        return error_response(ApiError{404, "there is nothing at " + request.path,
                                       "not_found_error", "", "not_found"});
    }
    HttpResponse response =
        error_response(ApiError{405,
                                request.method + " is not possible at " + request.path +
                                    "; allowed: " + allowed + "OPTIONS",
                                "invalid_request_error", "", "method_not_allowed"});
    response.headers.emplace_back("Allow", allowed + "OPTIONS");
    return response;
}

HttpResponse loading() {
    return error_response(
        ApiError{503, "the model is loading", "unavailable_error", "", "model_loading"});
}

HttpResponse unauthorized() {
    HttpResponse response = error_response(
        ApiError{401, "a known API key is needed: send the header 'Authorization: Bearer KEY'",
                 "authentication_error", "", "invalid_api_key"});
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
}

// Browsers ask so before a request. Behind a proxy other uses of OPTIONS are not this server's.
bool is_preflight(const HttpRequest& request, bool proxied) {
    return request.method == "OPTIONS" &&
           (!proxied || has_field(request.fields, "Access-Control-Request-Method"));
}

// Of the engine, where there is one, and of the upstreams.
HttpResponse all_metrics(const Service* service, const Proxy& proxy) {
    HttpResponse response;
    if (service != nullptr) response.body = service->metrics_text();
    response.body += proxy.metrics_text();
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
}

bool is_health(const HttpRequest& request) {
    return request.path == "/health" || request.path == "/v1/health";
}

// Answered here whatever stands behind.
bool is_ours(std::string_view path) {
    constexpr std::string_view kOurs[] = {"/metrics",       "/v1/plan",        "/v1/cache/stats",
                                          "/v1/receipts/*", "/v1/retrieve",    "/v1/chunks",
                                          "/v1/chunks/*",   "/v1/collections", "/v1/collections/*"};
    for (const std::string_view pattern : kOurs) {
        if (matches(pattern, path)) return true;
    }
    return false;
}

HttpResponse no_engine(const HttpRequest& request) {
    return error_response(ApiError{404,
                                   request.path + " is answered by a model of this server's own, "
                                                  "and it only forwards to others: give --model",
                                   "not_found_error", "", "not_found"});
}

HttpResponse no_upstream() {
    return error_response(
        ApiError{503, "no upstream answers", "unavailable_error", "", "upstream_unavailable"});
}

HttpHeaders cors_headers(const std::string& origin) {
    if (origin.empty()) return {};
    return {{"Access-Control-Allow-Origin", origin},
            {"Access-Control-Expose-Headers",
             "x-spolia-policy, x-spolia-exact, x-spolia-reused, x-spolia-computed, "
             "x-spolia-fallback, x-spolia-receipt"}};
}

}  // namespace

Router::Router(const Config& config)
    : authenticator_(config.server.keys),
      alias_(config.model.alias),
      common_headers_(cors_headers(config.server.cors_origin)),
      started_(std::time(nullptr)) {
    limits_.depth_max = config.server.json_depth_max;
}

void Router::attach(Service& service) { service_ = &service; }

void Router::attach_collections(CollectionService& collections) { collections_ = &collections; }

void Router::attach_proxy(Proxy& proxy) { proxy_ = &proxy; }

void Router::detach() {
    service_ = nullptr;
    proxy_ = nullptr;
    collections_ = nullptr;
}

std::string Router::tenant_of(const HttpRequest& request) const {
    return authenticator_.tenant_of(request.authorization).value_or(std::string());
}

// Requests that are answered without a look at who asks: browsers ask OPTIONS without a key.
std::optional<HttpResponse> Router::preflight(const HttpRequest& request) const {
    if (is_preflight(request, proxy_ != nullptr)) {
        HttpResponse response;
        response.status = 204;
        response.headers = {
            {"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS"},
            {"Access-Control-Allow-Headers", "*, Authorization"},
            {"Access-Control-Max-Age", "86400"}};
        return response;
    }
    if (!is_health(request)) return std::nullopt;
    if (routed_method(request) != "GET") {
        HttpResponse response = error_response(ApiError{
            405, request.path + " is for GET", "invalid_request_error", "", "method_not_allowed"});
        response.headers.emplace_back("Allow", "GET, OPTIONS");
        return response;
    }
    return health();
}

HttpResponse Router::health() const {
    const Service* service = service_;
    const Proxy* proxy = proxy_;
    if (proxy != nullptr && !proxy->ready()) return no_upstream();
    if (proxy == nullptr && (service == nullptr || !service->ready())) return loading();
    HttpResponse response;
    response.body = health_json();
    return response;
}

Proxy* Router::proxy_for(const HttpRequest& request) const {
    Proxy* proxy = proxy_;
    if (proxy == nullptr || !is_ours(request.path) || proxy->answers(request)) return proxy;
    return nullptr;
}

bool Router::wants_body(const HttpRequest& head) const {
    const Proxy* proxy = proxy_for(head);
    return proxy == nullptr || proxy->wants_body(head);
}

std::optional<HttpResponse> Router::refuse(const HttpRequest& request) const {
    if (is_preflight(request, proxy_ != nullptr) || is_health(request)) return std::nullopt;
    if (!authenticator_.tenant_of(request.authorization)) return unauthorized();
    if (proxy_for(request) != nullptr) return std::nullopt;
    if (find_route(request) == nullptr) return no_route(request);
    const Service* service = service_;
    if (proxy_ != nullptr) {
        if (service == nullptr && request.path != "/metrics") return no_engine(request);
        return std::nullopt;
    }
    if (service == nullptr || !service->ready()) return loading();
    return std::nullopt;
}

Reply Router::route(const HttpRequest& request) const {
    if (std::optional<HttpResponse> response = preflight(request)) return *std::move(response);
    if (std::optional<HttpResponse> response = refuse(request)) return *std::move(response);
    const std::string tenant = tenant_of(request);
    if (Proxy* proxy = proxy_for(request)) return proxy->route(request, tenant);
    Service* service = service_;
    const Proxy* proxy = proxy_;
    if (proxy != nullptr && request.path == "/metrics") return all_metrics(service, *proxy);
    if (service == nullptr) return loading();
    const Route& route = *find_route(request);
    return route.handle(HandlerContext{*service, request, tenant, tail_of(route, request.path),
                                       alias_, limits_, started_, collections_});
}

}  // namespace spolia
