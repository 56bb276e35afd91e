#pragma once

#include <array>
#include <cstring>
#include <string_view>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/system/error_code.hpp>

namespace spolia {

// For the line in front of a chunk.
using ChunkLine = std::array<char, 24>;
// What goes out in one write.
using WriteBytes = std::array<boost::asio::const_buffer, 4>;

inline boost::asio::const_buffer bytes_of(std::string_view text) {
    return {text.data(), text.size()};
}

// What to write for `body`, behind `head`: as it is, or as a chunk, for which `line` is used.
WriteBytes framed(std::string_view head, std::string_view body, bool chunked, bool last,
                  ChunkLine& line);

// Takes so many bytes off the front.
void skip(WriteBytes& bytes, size_t n);

// Parses [bytes, bytes + size) and moves what is body to the front. Returns its bytes; `n_parsed`
// says how many of all were parsed.
template <class Parser>
size_t gather_body(Parser& parser, char* bytes, size_t size, size_t& n_parsed,
                   boost::system::error_code& error) {
    size_t n_body = 0;
    n_parsed = 0;
    while (n_parsed < size && !parser.is_done()) {
        n_parsed += parser.put(boost::asio::const_buffer(bytes + n_parsed, size - n_parsed), error);
        const std::string_view piece = parser.take_piece();
        if (!piece.empty()) std::memmove(bytes + n_body, piece.data(), piece.size());
        n_body += piece.size();
        if (error) break;
    }
    if (error == boost::beast::http::error::need_more) error = {};
    return n_body;
}

}  // namespace spolia
