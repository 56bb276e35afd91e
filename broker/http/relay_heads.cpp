#include "broker/http/relay_heads.h"

#include <algorithm>

#include "broker/http/field_block.h"

namespace spolia {

namespace {

constexpr std::string_view kLineEnd = "\r\n";

bool has_header(const HttpHeaders& headers, std::string_view name) {
    return std::ranges::any_of(
        headers, [&](const auto& header) { return same_field_name(header.first, name); });
}

}  // namespace

std::string upstream_request_head(const HttpRequest& request, const Forward& forward,
                                  const Upstream& upstream, const RequestOrigin& origin) {
    std::string head;
    head.reserve(request.fields.size() + 512);
    const std::string& target = forward.target ? *forward.target : request.target;
    head.append(request.method).append(" ").append(upstream.url().path).append(target);
    head.append(" HTTP/1.1\r\n");
    append_field(head, "Host", upstream.name());
    const size_t own = head.size();
    head.append(request.fields);
    if (!forward.request_headers.empty()) {
        std::string fields = head.substr(own);
        for (const auto& [name, value] : forward.request_headers) erase_field(fields, name);
        head.replace(own, head.npos, fields);
    }
    for (const auto& [name, value] : forward.request_headers) append_field(head, name, value);
    if (!has_header(forward.request_headers, "authorization")) {
        const std::string& key = upstream.config().key;
        if (!key.empty()) {
            append_field(head, "Authorization", "Bearer " + key);
        } else if (origin.shares_key && !request.authorization.empty()) {
            append_field(head, "Authorization", request.authorization);
        }
    }
    const std::string& others = request.forwarded_for;
    append_field(head, "X-Forwarded-For",
                 others.empty() ? origin.peer : others + ", " + origin.peer);
    return head.append(origin.framing).append(kLineEnd);
}

std::string client_response_head(const ResponseParser& response, const ResponseFraming& framing,
                                 const HttpHeaders& common, const HttpHeaders& added) {
    std::string head;
    head.reserve(response.fields().size() + 256);
    head.append(framing.modern ? "HTTP/1.1 " : "HTTP/1.0 ");
    head.append(std::to_string(response.status())).append(" ").append(response.reason());
    head.append(kLineEnd).append(response.fields());
    for (const auto& [name, value] : common) {
        if (!has_field(response.fields(), name)) append_field(head, name, value);
    }
    for (const auto& [name, value] : added) append_field(head, name, value);
    if (framing.length && response.status() != 204) {
        append_field(head, "Content-Length", std::to_string(*framing.length));
    }
    if (framing.chunked) append_field(head, "Transfer-Encoding", "chunked");
    if (!framing.keep_alive) {
        append_field(head, "Connection", "close");
    } else if (!framing.modern) {
        append_field(head, "Connection", "keep-alive");
    }
    return head.append(kLineEnd);
}

}  // namespace spolia
