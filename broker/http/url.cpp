#include "broker/http/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace spolia {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";
constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kHttpsPort = 443;

// Nothing that would end a line or a field of a request.
bool is_plain(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

Error bad_url(std::string_view why) {
    return invalid("expected a URL such as http://127.0.0.1:8080/v1: " + std::string(why));
}

std::string in_url(std::string_view host) {
    const bool bracketed = host.find(':') != host.npos;
    return bracketed ? "[" + std::string(host) + "]" : std::string(host);
}

bool is_ipv6(std::string_view text) {
    in6_addr address;
    return inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

// Of "HOST[:PORT]".
Status read_authority(std::string_view text, HttpUrl& url) {
    std::string_view rest;
    if (text.starts_with('[')) {
        const size_t end = text.find(']');
        if (end == text.npos || !is_ipv6(text.substr(1, end - 1))) {
            return bad_url("there is no IPv6 address in its brackets");
        }
        url.host = text.substr(1, end - 1);
        rest = text.substr(end + 1);
    } else {
        url.host = text.substr(0, text.find(':'));
        rest = text.substr(url.host.size());
        if (is_ipv6(text)) return bad_url("an IPv6 address stands in brackets");
        if (url.host.find_first_of("[]") != url.host.npos) return bad_url("its host is none");
    }
    if (url.host.empty()) return bad_url("this has no host");
    if (rest.empty()) return {};
    const char* end = rest.data() + rest.size();
    const auto [parsed, error] = std::from_chars(rest.data() + 1, end, url.port);
    if (rest.front() != ':' || error != std::errc{} || parsed != end || url.port == 0) {
        return bad_url("its port is none");
    }
    return {};
}

}  // namespace

std::string HttpUrl::text() const {
    const bool usual = port == (tls ? kHttpsPort : kHttpPort);
    return std::string(tls ? kHttps : kHttp) + (usual ? in_url(host) : authority_of(host, port)) +
           path;
}

std::string authority_of(std::string_view host, uint16_t port) {
    return in_url(host) + ":" + std::to_string(port);
}

Result<HttpUrl> parse_url(std::string_view url) {
    if (!is_plain(url)) return bad_url("this has spaces or letters beyond ASCII");
    HttpUrl parsed;
    parsed.tls = url.starts_with(kHttps);
    if (!parsed.tls && !url.starts_with(kHttp)) {
        return bad_url("this does not begin with http://");
    }
    parsed.port = parsed.tls ? kHttpsPort : kHttpPort;
    url.remove_prefix(parsed.tls ? kHttps.size() : kHttp.size());
    if (url.find_first_of("?#") != url.npos) return bad_url("this has a query or a fragment");
    const size_t slash = std::min(url.find('/'), url.size());
    const std::string_view authority = url.substr(0, slash);
    parsed.path = url.substr(slash);
    while (parsed.path.ends_with('/')) parsed.path.pop_back();
    if (authority.find('@') != authority.npos) {
        return bad_url("this has a name or a password in it, which logs would show");
    }
    if (Status read = read_authority(authority, parsed); !read.ok()) return read.error();
    return parsed;
}

Result<HttpUrl> parse_http_url(std::string_view url) {
    if (!is_plain(url)) return bad_url("this has spaces or letters beyond ASCII");
    if (url.starts_with(kHttps)) {
        return Error{ErrorCode::kUnsupported,
                     "https is not spoken here: put a proxy in between that does, such as \"caddy "
                     "reverse-proxy --from http://127.0.0.1:8081 --to https://HOST "
                     "--change-host-header\", and give its http:// URL"};
    }
    return parse_url(url);
}

HttpUrl without_version(HttpUrl url) {
    constexpr std::string_view kVersion = "/v1";
    if (url.path.ends_with(kVersion)) url.path.resize(url.path.size() - kVersion.size());
    return url;
}

}  // namespace spolia
