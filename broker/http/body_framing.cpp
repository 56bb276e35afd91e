#include "broker/http/body_framing.h"

#include <algorithm>
#include <charconv>

namespace spolia {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr std::string_view kLastChunkBehind = "\r\n0\r\n\r\n";

}  // namespace

WriteBytes framed(std::string_view head, std::string_view body, bool chunked, bool last,
                  ChunkLine& line) {
    if (!chunked) return {bytes_of(head), bytes_of(body)};
    if (body.empty()) return {bytes_of(head), bytes_of(last ? kLastChunk : std::string_view())};
    char* end = std::to_chars(line.data(), line.data() + line.size(), body.size(), 16).ptr;
    end = std::copy(kLineEnd.begin(), kLineEnd.end(), end);
    const std::string_view size(line.data(), static_cast<size_t>(end - line.data()));
    return {bytes_of(head), bytes_of(size), bytes_of(body),
            bytes_of(last ? kLastChunkBehind : kLineEnd)};
}

void skip(WriteBytes& bytes, size_t n) {
    for (boost::asio::const_buffer& each : bytes) {
        const size_t n_here = std::min(n, each.size());
        each += n_here;
        n -= n_here;
    }
}

}  // namespace spolia
