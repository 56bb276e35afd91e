#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <boost/beast/http/basic_parser.hpp>

#include "broker/config.h"
#include "broker/http/message.h"

namespace spolia {

// Reads a request into what handlers see of it; not its body, whose pieces the caller takes.
class RequestParser : public boost::beast::http::basic_parser<true> {
public:
    // `request` must stay until the header is done.
    RequestParser(HttpRequest& request, const ServerConfig& config);

    unsigned version() const { return version_; }  // 11: HTTP/1.1
    bool expects_continue() const { return expects_continue_; }
    bool wants_websocket() const { return wants_websocket_; }
    // Whether the header announces a body, be it of no bytes.
    bool has_body() { return chunked() || content_length().has_value(); }

    // The body's bytes that the last put() came upon, within what it was given.
    std::string_view take_piece() { return std::exchange(piece_, {}); }

private:
    using Field = boost::beast::http::field;
    using Text = boost::beast::string_view;
    using ErrorCode = boost::beast::error_code;

    void on_request_impl(boost::beast::http::verb verb, Text method, Text target, int version,
                         ErrorCode& error) override;
    void on_response_impl(int, Text, int, ErrorCode&) override {}
    void on_field_impl(Field field, Text name, Text value, ErrorCode& error) override;
    void on_header_impl(ErrorCode& error) override;
    void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
    size_t on_body_impl(Text body, ErrorCode& error) override;
    void on_chunk_header_impl(uint64_t, Text, ErrorCode&) override {}
    size_t on_chunk_body_impl(uint64_t remain, Text body, ErrorCode& error) override;
    void on_finish_impl(ErrorCode&) override {}
    void count_header(size_t n_bytes, ErrorCode& error);

    HttpRequest* request_;
    size_t header_bytes_left_;
    uint64_t body_bytes_left_;
    std::string connection_;
    std::string_view piece_;
    unsigned version_ = 11;
    bool expects_continue_ = false;
    bool wants_websocket_ = false;
    bool header_done_ = false;
};

}  // namespace spolia
