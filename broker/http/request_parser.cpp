#include "broker/http/request_parser.h"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>

#include "broker/http/field_block.h"

namespace spolia {

namespace beast = boost::beast;
namespace http = boost::beast::http;

RequestParser::RequestParser(HttpRequest& request, const ServerConfig& config)
    : request_(&request),
      header_bytes_left_(config.header_bytes_max),
      body_bytes_left_(config.body_bytes_max) {
    header_limit(static_cast<uint32_t>(config.header_bytes_max));
    body_limit(config.body_bytes_max);
}

void RequestParser::count_header(size_t n_bytes, ErrorCode& error) {
    if (n_bytes > header_bytes_left_) {
        error = http::error::header_limit;
        return;
    }
    header_bytes_left_ -= n_bytes;
}

void RequestParser::on_request_impl(http::verb, Text method, Text target, int version,
                                    ErrorCode& error) {
    count_header(method.size() + target.size(), error);
    request_->method.assign(method.data(), method.size());
    request_->target.assign(target.data(), target.size());
    version_ = static_cast<unsigned>(version);
}

void RequestParser::on_field_impl(Field field, Text name, Text value, ErrorCode& error) {
    count_header(name.size() + value.size() + 4, error);
    if (header_done_ || error) return;  // trailers are left out
    switch (field) {
        case Field::authorization:
            if (request_->authorization.empty()) request_->authorization = value;
            return;
        case Field::connection:
            if (!connection_.empty()) connection_ += ',';
            connection_.append(value.data(), value.size());
            return;
        case Field::expect: expects_continue_ = beast::iequals(value, "100-continue"); return;
        case Field::upgrade: wants_websocket_ = beast::iequals(value, "websocket"); return;
        case Field::transfer_encoding:
            // Of any other coding the two sides could disagree where the body ends.
            if (!beast::iequals(value, "chunked")) {
                error = beast::http::make_error_code(beast::http::error::bad_transfer_encoding);
            }
            return;
        case Field::host:
        case Field::content_length:
        case Field::te:
        case Field::trailer:
        case Field::keep_alive:
        case Field::proxy_authenticate:
        case Field::proxy_authorization:
        case Field::proxy_connection: return;
        default: break;
    }
    if (beast::iequals(name, "x-forwarded-for")) {
        if (!request_->forwarded_for.empty()) request_->forwarded_for += ", ";
        request_->forwarded_for.append(value.data(), value.size());
        return;
    }
    append_field(request_->fields, name, value);
}

void RequestParser::on_header_impl(ErrorCode&) {
    header_done_ = true;
    header_bytes_left_ = std::max<size_t>(header_bytes_left_, 4096);  // for trailers
    if (!connection_.empty()) erase_fields_named_by(request_->fields, connection_);
    connection_ = {};
}

size_t RequestParser::on_body_impl(Text body, ErrorCode&) {
    piece_ = body;
    return body.size();
}

// The parser itself limits bodies of a known length only.
size_t RequestParser::on_chunk_body_impl(uint64_t, Text body, ErrorCode& error) {
    if (body.size() > body_bytes_left_) {
        error = http::error::body_limit;
        return 0;
    }
    body_bytes_left_ -= body.size();
    piece_ = body;
    return body.size();
}

}  // namespace spolia
