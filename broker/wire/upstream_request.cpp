#include "broker/wire/upstream_request.h"

#include "broker/wire/request_options.h"

namespace spolia {
namespace {

bool names_slot(const Json& body) {
    return body.contains("id_slot") || body.contains("lora") ||
           body.value("cache_prompt", Json(true)) != true || body.value("n", Json(1)) != 1 ||
           body.value("n_cmpl", Json(1)) != 1;
}

}  // namespace

Parsed<UpstreamRequest> parse_upstream_request(std::string_view body,
                                               const RequestContext& context) {
    const Parsed<Json> json = parse_object(body, context.limits);
    if (!json.ok()) return json.error();
    UpstreamRequest request;
    request.own_way = names_slot(*json);
    request.given_ids = !json->contains("messages") && json->value("prompt", Json()).is_array();
    Parsed<ParsedRequest> parsed =
        json->contains("messages") ? parse_chat_object(*json, context, read_prompt_options)
                                   : parse_completion_object(*json, context, read_prompt_options);
    if (!parsed.ok()) return parsed.error();
    request.surface = parsed->surface;
    request.generate = std::move(parsed->generate);
    return request;
}

Parsed<UpstreamPrompt> parse_upstream_prompt(std::string_view text, std::string_view tenant,
                                             const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(text, limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    UpstreamPrompt prompt;
    prompt.tenant = tenant_salt(tenant, read_cache_salt(body));
    if (!json->contains("messages")) {
        const std::string* given = body.string("prompt");
        if (given != nullptr)
            prompt.text = *given;
        else
            body.fail("prompt", "must be a string");
    }
    if (!body.ok()) return body.fault();
    return prompt;
}

bool leaves_slot_open(std::string_view body, const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(body, limits);
    return json.ok() && !names_slot(*json);
}

std::string with_slot(std::string_view body, int32_t slot, bool cache_prompt) {
    const size_t behind = body.find('{') + 1;
    const size_t next = body.find_first_not_of(" \t\r\n", behind);
    const bool empty = next != body.npos && body[next] == '}';
    std::string with(body.substr(0, behind));
    with += "\"id_slot\":" + std::to_string(slot) + ",\"cache_prompt\":";
    with += cache_prompt ? "true" : "false";
    if (!empty) with += ',';
    return with.append(body.substr(behind));
}

}  // namespace spolia
