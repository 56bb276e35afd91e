#include "broker/http/router.h"

#include <ctime>

#include "broker/http/handlers.h"
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

bool is_health(const HttpRequest& request) {
    return request.path == "/health" || request.path == "/v1/health";
}

HttpHeaders cors_headers(const std::string& origin) {
    if (origin.empty()) return {};
    return {{"Access-Control-Allow-Origin", origin},
            {"Access-Control-Expose-Headers",
             "x-spolia-policy, x-spolia-exact, x-spolia-reused, x-spolia-computed"}};
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

void Router::detach() {
    service_ = nullptr;
    collections_ = nullptr;
}

std::string Router::tenant_of(const HttpRequest& request) const {
    return authenticator_.tenant_of(request.authorization).value_or(std::string());
}

// Requests that are answered without a look at who asks: browsers ask OPTIONS without a key.
std::optional<HttpResponse> Router::preflight(const HttpRequest& request) const {
    if (request.method == "OPTIONS") {
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
    const Service* service = service_;
    if (service == nullptr || !service->ready()) return loading();
    HttpResponse response;
    response.body = health_json();
    return response;
}

std::optional<HttpResponse> Router::refuse(const HttpRequest& request) const {
    if (request.method == "OPTIONS" || is_health(request)) return std::nullopt;
    if (!authenticator_.tenant_of(request.authorization)) return unauthorized();
    if (find_route(request) == nullptr) return no_route(request);
    const Service* service = service_;
    if (service == nullptr || !service->ready()) return loading();
    return std::nullopt;
}

Reply Router::route(const HttpRequest& request) const {
    if (std::optional<HttpResponse> response = preflight(request)) return *std::move(response);
    if (std::optional<HttpResponse> response = refuse(request)) return *std::move(response);
    Service* service = service_;
    if (service == nullptr) return loading();
    const Route& route = *find_route(request);
    const std::string tenant = tenant_of(request);
    return route.handle(HandlerContext{*service, request, tenant, tail_of(route, request.path),
                                       alias_, limits_, started_, collections_});
}

}  // namespace spolia
