#include "broker/http/unreadable_request.h"

#include <string>

#include <boost/beast/http/error.hpp>

namespace spolia {

namespace http = boost::beast::http;

ApiError unreadable_request(boost::system::error_code error, const ServerConfig& config) {
    if (error == http::error::body_limit) {
        return {413,
                "the body is longer than " + std::to_string(config.body_bytes_max) +
                    " bytes (server.body_bytes_max)",
                "invalid_request_error", "", "body_too_long"};
    }
    if (error == http::error::header_limit) {
        return {431,
                "the header is longer than " + std::to_string(config.header_bytes_max) +
                    " bytes (server.header_bytes_max)",
                "invalid_request_error", "", "header_too_long"};
    }
    return bad_request("the request is not HTTP as expected: " + error.message());
}

}  // namespace spolia
