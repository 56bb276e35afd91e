#include "broker/proxy/affinity_proxy.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "adapters/openai/prompt_blocks.h"
#include "broker/log.h"
#include "broker/proxy/usage_watch.h"

namespace spolia {
namespace {

constexpr std::string_view kUpstreams = "/v1/upstreams";

bool is_upstreams(std::string_view path) {
    return path == kUpstreams || path.starts_with("/v1/upstreams/");
}

bool has_prompt(const HttpRequest& request) {
    constexpr std::array<std::string_view, 3> kPaths = {"/v1/chat/completions", "/v1/completions",
                                                        "/v1/responses"};
    return request.method == "POST" &&
           std::find(kPaths.begin(), kPaths.end(), request.path) != kPaths.end();
}

HttpResponse not_found(std::string message) {
    return error_response(ApiError{404, std::move(message), "not_found_error", "", "not_found"});
}

HttpResponse none_left() {
    return error_response(ApiError{503, "all upstreams are draining", "unavailable_error", "",
                                   "upstream_unavailable"});
}

std::vector<std::shared_ptr<Upstream>> behind_tls(const UpstreamGroup& group) {
    std::vector<std::shared_ptr<Upstream>> upstreams;
    for (size_t i = 0; i < group.size(); ++i) {
        if (group.upstream(i)->url().tls) upstreams.push_back(group.upstream(i));
    }
    return upstreams;
}

bool affinity_wanted(const UpstreamConfig& config) {
    return config.affinity.value_or(config.urls.size() > 1);
}

}  // namespace

AffinityProxy::AffinityProxy(const UpstreamConfig& config,
                             std::vector<std::shared_ptr<Upstream>> upstreams)
    : config_(config),
      affine_(affinity_wanted(config)),
      changes_any_(config.stable_tools || config.document_order || config.cache_salt ||
                   !config.separator.empty()),
      edits_(changes_any_ || config.strip_spolia),
      group_(std::move(upstreams)),
      editor_({config.stable_tools, config.document_order, config.separator, config.strip_spolia}) {
    if (config.health_interval_ms > 0) {
        const std::chrono::milliseconds interval(config.health_interval_ms);
        checks_ = std::make_unique<HealthChecks>(group_, interval);
        probe_ = std::make_unique<UpstreamProbe>(behind_tls(group_), interval);
    }
    if (config.warm_up) warm_up_ = std::make_unique<WarmUp>();
}

bool AffinityProxy::answers(const HttpRequest& head) const {
    return warm_up_ != nullptr && head.method == "PUT" && head.path == "/v1/chunks";
}

bool AffinityProxy::wants_body(const HttpRequest& head) const {
    if (is_upstreams(head.path) || answers(head)) return true;
    return has_prompt(head) && (affine_ || edits_);
}

Reply AffinityProxy::route(const HttpRequest& request, std::string_view tenant) {
    if (request.path == kUpstreams && request.method == "GET") return list();
    if (is_upstreams(request.path)) return switch_draining(request, tenant);
    if (answers(request)) return warm_up(request, tenant);
    return has_prompt(request) ? route_prompt(request, tenant) : route_any();
}

Reply AffinityProxy::route_any() {
    Forward forward;
    forward.candidates = group_.pick(router_.order({}, group_.loads()).upstreams);
    if (forward.candidates.empty()) return none_left();
    return forward;
}

Reply AffinityProxy::route_prompt(const HttpRequest& request, std::string_view tenant) {
    Prompt prompt;
    if (wants_body(request)) prompt = prompt_of(request.body, tenant);
    Forward forward;
    forward.candidates = group_.pick(router_.order(prompt.chain, group_.loads()).upstreams);
    if (forward.candidates.empty()) return none_left();
    forward.body = std::move(prompt.body);
    forward.watch = std::make_shared<UsageWatch>(group_, router_, std::move(prompt.chain));
    return forward;
}

// Another tenant's salt may be known to a client; what comes of it here is another one than theirs.
std::string AffinityProxy::salt_of(std::string_view body, ByteRange root,
                                   std::string_view tenant) const {
    if (!config_.cache_salt) return {};
    std::optional<ByteRange> given = json_member(body, root, "cache_salt");
    if (given && json_kind(body, *given) == 'n') given.reset();  // null is none
    const std::string own = given ? json_string(body, *given) : "";
    // What no server takes is for the server to refuse.
    if (given && own.empty()) return {};
    return tenant_cache_salt(tenant, own, config_.salt_secret);
}

// A body that is not JSON goes as it is: the server says what is wrong with it.
AffinityProxy::Prompt AffinityProxy::prompt_of(std::string_view body, std::string_view tenant) {
    Prompt prompt;
    if (!affine_ && !changes_any_ && body.find("\"spolia\"") == body.npos) return prompt;
    Result<ByteRange> root = json_document(body);
    if (!root.ok() || json_kind(body, *root) != '{') return prompt;
    prompt.body = editor_.edit(body, *root, salt_of(body, *root, tenant));
    if (!affine_) return prompt;
    if (prompt.body) {
        body = *prompt.body;
        root = json_document(body);
        if (!root.ok()) return prompt;
    }
    // Servers share nothing between salts.
    std::string scope(tenant);
    const std::optional<ByteRange> own_salt = json_member(body, *root, "cache_salt");
    if (own_salt) scope.append(1, '\0').append(json_string(body, *own_salt));
    prompt.chain = prompt_blocks(body, *root, scope);
    return prompt;
}

HttpResponse AffinityProxy::list() const {
    return json_response(upstream_list_json(group_.statuses()));
}

HttpResponse AffinityProxy::switch_draining(const HttpRequest& request, std::string_view tenant) {
    std::string_view tail = std::string_view(request.path).substr(kUpstreams.size());
    if (tail.starts_with('/')) tail.remove_prefix(1);
    const size_t slash = tail.rfind('/');
    const std::string_view verb = slash == tail.npos ? "" : tail.substr(slash + 1);
    if (request.method != "POST" || (verb != "drain" && verb != "undrain")) {
        return not_found("there are GET /v1/upstreams and POST /v1/upstreams/NAME/drain, undrain");
    }
    if (!tenant.empty()) {
        return error_response(ApiError{403, "only keys of no tenant switch upstreams",
                                       "permission_error", "", "forbidden"});
    }
    const std::string_view name = tail.substr(0, slash);
    const std::optional<size_t> index = group_.find(name);
    if (!index) return not_found("there is no upstream " + std::string(name));
    group_.set_draining(*index, verb == "drain");
    log_event(LogLevel::kInfo, verb == "drain" ? "an upstream drains" : "an upstream is back",
              {{"upstream", name}});
    return json_response(upstream_json(group_.statuses()[*index]));
}

HttpResponse AffinityProxy::warm_up(const HttpRequest& request, std::string_view tenant) {
    const Parsed<WarmUpRequest> texts = parse_warm_up(request.body, JsonLimits());
    if (!texts.ok()) return error_response(texts.error());
    std::vector<std::string> names;
    for (const std::string& text : texts->texts) {
        std::string body = warm_up_body(*texts, text);
        Prompt prompt = prompt_of(body, tenant);
        const UpstreamOrder order = router_.order(prompt.chain, group_.loads());
        if (order.upstreams.empty()) return none_left();
        const std::shared_ptr<Upstream>& upstream = group_.upstream(order.upstreams[0]);
        if (!warm_up_->send(upstream, std::move(prompt.body).value_or(std::move(body)))) {
            return error_response(api_error(Error{
                ErrorCode::kOverloaded, "too many texts wait to be warmed up; try again later"}));
        }
        router_.remember(prompt.chain, upstream->name());
        names.push_back(upstream->name());
    }
    return json_response(warm_up_json(names), 202);
}

}  // namespace spolia
