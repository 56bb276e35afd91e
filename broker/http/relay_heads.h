#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/http/forward.h"
#include "broker/http/message.h"
#include "broker/http/response_parser.h"
#include "broker/http/upstream.h"

namespace spolia {

// What of the client goes into a forwarded request's head, beside its own fields.
struct RequestOrigin {
    std::string peer;          // address
    bool shares_key = false;   // the client's Authorization is meant for the upstream
    std::string_view framing;  // fields that say how long the body is
};

// The head of a request as an upstream gets it.
std::string upstream_request_head(const HttpRequest& request, const Forward& forward,
                                  const Upstream& upstream, const RequestOrigin& origin);

// How a response goes to the client.
struct ResponseFraming {
    bool modern = true;  // HTTP/1.1
    bool chunked = false;
    bool keep_alive = false;
    std::optional<uint64_t> length;  // nothing: unknown
};

// The head of a response as the client gets it: the upstream's own, `common` fields that it lacks,
// and `added` ones.
std::string client_response_head(const ResponseParser& response, const ResponseFraming& framing,
                                 const HttpHeaders& common, const HttpHeaders& added);

}  // namespace spolia
