#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <boost/beast/http/basic_parser.hpp>

namespace spolia {

// Reads an upstream's response: its end-to-end fields as a block of lines, its body in pieces that
// the caller takes.
class ResponseParser : public boost::beast::http::basic_parser<false> {
public:
    // `to_head`: of a response to HEAD, which has no body whatever it announces.
    ResponseParser(uint32_t header_bytes_max, bool to_head);

    int status() const { return status_; }
    const std::string& reason() const { return reason_; }
    // Without those of the hop and of the framing.
    const std::string& fields() const { return fields_; }
    void drop_fields() { std::string().swap(fields_); }
    const std::string& content_type() const { return content_type_; }

    // The body's bytes that the last put() came upon, within what it was given.
    std::string_view take_piece() { return std::exchange(piece_, {}); }

private:
    using Field = boost::beast::http::field;
    using Text = boost::beast::string_view;
    using ErrorCode = boost::beast::error_code;

    void on_request_impl(boost::beast::http::verb, Text, Text, int, ErrorCode&) override {}
    void on_response_impl(int status, Text reason, int version, ErrorCode& error) override;
    void on_field_impl(Field field, Text name, Text value, ErrorCode& error) override;
    void on_header_impl(ErrorCode& error) override;
    void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
    size_t on_body_impl(Text body, ErrorCode& error) override;
    void on_chunk_header_impl(uint64_t, Text, ErrorCode&) override {}
    size_t on_chunk_body_impl(uint64_t remain, Text body, ErrorCode& error) override;
    void on_finish_impl(ErrorCode&) override {}

    int status_ = 0;
    std::string reason_;
    std::string fields_;
    std::string connection_;
    std::string content_type_;
    std::string_view piece_;
    bool header_done_ = false;
};

}  // namespace spolia
