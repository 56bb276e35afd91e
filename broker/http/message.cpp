#include "broker/http/message.h"

namespace spolia {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Escapes that are none stay as they are.
std::string percent_decoded(std::string_view text, bool plus_is_space) {
    std::string decoded;
    decoded.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '%' && i + 2 < text.size();
        const int high = escape ? hex_digit(text[i + 1]) : -1;
        const int low = escape ? hex_digit(text[i + 2]) : -1;
        if (high >= 0 && low >= 0) {
            decoded += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            decoded += plus_is_space && text[i] == '+' ? ' ' : text[i];
        }
    }
    return decoded;
}

}  // namespace

void set_target(HttpRequest& request, std::string_view target) {
    const size_t question = std::min(target.find('?'), target.size());
    request.path = percent_decoded(target.substr(0, question), false);
    request.query.clear();
    for (size_t begin = question + 1; begin < target.size();) {
        const size_t end = std::min(target.find('&', begin), target.size());
        const std::string_view pair = target.substr(begin, end - begin);
        const size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
        request.query[percent_decoded(pair.substr(0, equals), true)] = percent_decoded(value, true);
        begin = end + 1;
    }
}

HttpResponse json_response(std::string body, int status) {
    HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    return response;
}

HttpResponse error_response(const ApiError& error) {
    HttpResponse response;
    response.status = error.status;
    response.body = to_json(error);
    if (error.status == 429 || error.status == 503) response.headers = {{"Retry-After", "1"}};
    return response;
}

}  // namespace spolia
