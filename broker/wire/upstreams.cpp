#include "broker/wire/upstreams.h"

#include "broker/wire/fields.h"

namespace spolia {
namespace {

constexpr size_t kTextsMax = 256;

Json to_object(const UpstreamStatus& upstream) {
    return {{"object", "upstream"},
            {"name", upstream.name},
            {"healthy", upstream.healthy},
            {"draining", upstream.draining},
            {"in_flight", upstream.in_flight},
            {"requests", upstream.requests},
            {"share", upstream.share},
            {"prompt_tokens", upstream.prompt_tokens},
            {"cached_tokens", upstream.cached_tokens}};
}

void read_texts(Fields& body, std::vector<std::string>& texts) {
    const std::string* one = body.string("text");
    const Json* several = body.array("texts");
    if ((one == nullptr) == (several == nullptr)) {
        return body.fail("text", "or 'texts' is required, and not both");
    }
    if (one != nullptr) texts.push_back(*one);
    if (several != nullptr) {
        if (several->empty() || several->size() > kTextsMax) {
            body.fail("texts", "must have from 1 to " + std::to_string(kTextsMax) + " strings");
        }
        for (const Json& text : *several) {
            texts.push_back(text.is_string() ? text.get<std::string>() : "");
        }
    }
    for (const std::string& text : texts) {
        if (text.empty()) body.fail(one != nullptr ? "text" : "texts", "must be text, not empty");
    }
}

}  // namespace

std::string upstream_list_json(std::span<const UpstreamStatus> upstreams) {
    Json data = Json::array();
    for (const UpstreamStatus& upstream : upstreams) data.push_back(to_object(upstream));
    return dump({{"object", "list"}, {"data", std::move(data)}});
}

std::string upstream_json(const UpstreamStatus& upstream) { return dump(to_object(upstream)); }

Parsed<WarmUpRequest> parse_warm_up(std::string_view text, const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(text, limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    WarmUpRequest request;
    read_texts(body, request.texts);
    if (const std::string* model = body.string("model")) request.model = *model;
    const std::string* role = body.string("role");
    request.role = role == nullptr ? "system" : *role;
    if (const std::string* salt = body.string("cache_salt")) request.cache_salt = *salt;
    body.refuse_others();
    if (request.model.empty()) {
        body.fail("model", "is required: the text is read by the servers behind, as that model");
    }
    if (request.role != "system" && request.role != "user") {
        body.fail("role", "must be system or user");
    }
    if (!body.ok()) return body.fault();
    return request;
}

std::string warm_up_body(const WarmUpRequest& request, std::string_view text) {
    Json messages = Json::array();
    messages.push_back({{"role", request.role}, {"content", text}});
    // Some templates refuse a conversation without a user.
    if (request.role == "system") messages.push_back({{"role", "user"}, {"content", "."}});
    Json body = {{"model", request.model}, {"messages", std::move(messages)}, {"max_tokens", 1}};
    if (!request.cache_salt.empty()) body["cache_salt"] = request.cache_salt;
    return dump(body);
}

std::string warm_up_json(std::span<const std::string> upstreams) {
    Json data = Json::array();
    for (const std::string& upstream : upstreams) {
        data.push_back({{"object", "warm_up"}, {"upstream", upstream}});
    }
    return dump({{"object", "list"}, {"data", std::move(data)}});
}

}  // namespace spolia
