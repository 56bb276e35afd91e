#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/wire/api_error.h"

namespace spolia {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// A request as handlers see it.
struct HttpRequest {
    std::string method = {};  // "GET"
    std::string path = {};    // percent-decoded, without the query
    std::map<std::string, std::string> query = {};
    std::string authorization = {};  // the header's value
    std::string body = {};
    std::string target = {};  // as the client sent it
    // Other header fields (field_block.h), but those of this hop and of the framing, Host, Expect
    // and X-Forwarded-For.
    std::string fields = {};
    std::string forwarded_for = {};  // X-Forwarded-For's value
};

struct HttpResponse {
    int status = 200;
    std::string body;
    std::string content_type = "application/json; charset=utf-8";
    HttpHeaders headers;
};

// Empties a text and gives its memory back, which assigning an empty one does not.
inline void release(std::string& text) { std::string().swap(text); }

// Fills path and query from a request's target.
void set_target(HttpRequest& request, std::string_view target);

// A body that is JSON.
HttpResponse json_response(std::string body, int status = 200);

// Overload is told to come back later.
HttpResponse error_response(const ApiError& error);

}  // namespace spolia
