#include "broker/http/url.h"

#include <algorithm>
#include <charconv>

namespace spolia {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

// Nothing that would end a line or a field of a request.
bool is_plain(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

Error bad_url(std::string_view why) {
    return invalid("expected a URL such as http://127.0.0.1:8080/v1: " + std::string(why));
}

}  // namespace

std::string HttpUrl::text() const {
    const bool bracketed = host.find(':') != host.npos;
    return std::string(kHttp) + (bracketed ? "[" + host + "]" : host) +
           (port == 80 ? "" : ":" + std::to_string(port)) + path;
}

Result<HttpUrl> parse_http_url(std::string_view url) {
    if (!is_plain(url)) return bad_url("this has spaces or letters beyond ASCII");
    if (url.starts_with(kHttps)) {
        return Error{ErrorCode::kUnsupported,
                     "https is not spoken here: put a proxy in between that does, such as \"caddy "
                     "reverse-proxy --from http://127.0.0.1:8081 --to https://HOST "
                     "--change-host-header\", and give its http:// URL"};
    }
    if (!url.starts_with(kHttp)) return bad_url("this does not begin with http://");
    url.remove_prefix(kHttp.size());
    if (url.find_first_of("?#") != url.npos) return bad_url("this has a query or a fragment");
    const size_t slash = std::min(url.find('/'), url.size());
    std::string_view authority = url.substr(0, slash);
    HttpUrl parsed;
    parsed.path = url.substr(slash);
    while (parsed.path.ends_with('/')) parsed.path.pop_back();
    if (authority.find('@') != authority.npos) {
        return bad_url("this has a name or a password in it, which logs would show");
    }
    // A port stands behind the last colon, unless that is one of an address in brackets.
    const size_t bracket = authority.starts_with('[') ? authority.find(']') : authority.npos;
    const size_t colon = authority.rfind(':');
    if (colon != authority.npos && (bracket == authority.npos || colon > bracket)) {
        const std::string_view port = authority.substr(colon + 1);
        const auto [end, error] =
            std::from_chars(port.data(), port.data() + port.size(), parsed.port);
        if (error != std::errc{} || end != port.data() + port.size() || parsed.port == 0) {
            return bad_url("its port is none");
        }
        authority = authority.substr(0, colon);
    }
    if (bracket != authority.npos && bracket + 1 == authority.size()) {
        authority = authority.substr(1, bracket - 1);
    }
    parsed.host = authority;
    if (parsed.host.empty()) return bad_url("this has no host");
    return parsed;
}

}  // namespace spolia
