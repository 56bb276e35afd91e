#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "index/result.h"

namespace spolia {

struct HttpUrl {
    std::string host;  // an IPv6 address without its brackets
    uint16_t port = 80;
    bool tls = false;  // https
    std::string path;  // with its slash, without one at its end; empty for the root

    // As one writes it, without what is the default.
    std::string text() const;
};

// "HOST:PORT", as a Host header and a URL have it: an IPv6 address in brackets.
std::string authority_of(std::string_view host, uint16_t port);

// Of "http[s]://HOST[:PORT][/PATH]". kInvalidArgument for anything else, as below.
Result<HttpUrl> parse_url(std::string_view url);

// Of "http://HOST[:PORT][/PATH]". kUnsupported for https, which the client does not speak;
// kInvalidArgument for anything else, among it a URL that carries a password or a query.
Result<HttpUrl> parse_http_url(std::string_view url);

// Without a "/v1" at its end, which clients' base URLs have and requests bring along.
HttpUrl without_version(HttpUrl url);

}  // namespace spolia
