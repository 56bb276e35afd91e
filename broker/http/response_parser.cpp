#include "broker/http/response_parser.h"

#include <boost/none.hpp>

#include "broker/http/field_block.h"

namespace spolia {

ResponseParser::ResponseParser(uint32_t header_bytes_max, bool to_head) {
    header_limit(header_bytes_max);
    body_limit(boost::none);
    skip(to_head);
}

void ResponseParser::on_response_impl(int status, Text reason, int, ErrorCode&) {
    status_ = status;
    reason_.assign(reason.data(), reason.size());
}

void ResponseParser::on_field_impl(Field field, Text name, Text value, ErrorCode& error) {
    if (header_done_) return;  // trailers are left out
    switch (field) {
        case Field::connection:
            if (!connection_.empty()) connection_ += ',';
            connection_.append(value.data(), value.size());
            return;
        case Field::transfer_encoding:
            if (!boost::beast::iequals(value, "chunked")) {
                using boost::beast::http::error::bad_transfer_encoding;
                error = boost::beast::http::make_error_code(bad_transfer_encoding);
            }
            return;
        case Field::content_length:
        case Field::te:
        case Field::trailer:
        case Field::keep_alive:
        case Field::proxy_authenticate:
        case Field::proxy_connection:
        case Field::upgrade: return;
        case Field::content_type: content_type_.assign(value.data(), value.size()); break;
        default: break;
    }
    append_field(fields_, name, value);
}

void ResponseParser::on_header_impl(ErrorCode&) {
    header_done_ = true;
    if (!connection_.empty()) erase_fields_named_by(fields_, connection_);
}

size_t ResponseParser::on_body_impl(Text body, ErrorCode&) {
    piece_ = body;
    return body.size();
}

size_t ResponseParser::on_chunk_body_impl(uint64_t, Text body, ErrorCode&) {
    piece_ = body;
    return body.size();
}

}  // namespace spolia
