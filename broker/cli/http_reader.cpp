#include "broker/cli/http_reader.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace spolia {
namespace {

constexpr size_t kHeadBytesMax = size_t{16} << 10;
constexpr size_t kLineBytesMax = 256;

std::string_view trim(std::string_view text) {
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && blank(text.back())) text.remove_suffix(1);
    return text;
}

bool same_word(std::string_view left, std::string_view right) {
    return left.size() == right.size() && strncasecmp(left.data(), right.data(), left.size()) == 0;
}

std::optional<uint64_t> number(std::string_view text, int base) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end == text.data()) return std::nullopt;
    return value;
}

}  // namespace

void HttpReader::restart() {
    state_ = State::kHead;
    head_.clear();
    line_.clear();
    left_ = 0;
}

size_t HttpReader::take(std::string_view bytes, std::string& body) {
    size_t taken = 0;
    while (taken < bytes.size() && !done() && !broken()) {
        const std::string_view rest = bytes.substr(taken);
        switch (state_) {
            case State::kHead: taken += take_head(rest); break;
            case State::kChunkSize:
            case State::kTrailer: taken += take_line(rest); break;
            default: taken += take_body(rest, body);
        }
    }
    return taken;
}

size_t HttpReader::take_head(std::string_view bytes) {
    const size_t before = head_.size();
    head_ += bytes.substr(0, kHeadBytesMax + 1 - before);
    const size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    if (end == head_.npos) {
        if (head_.size() > kHeadBytesMax) state_ = State::kBroken;
        return head_.size() - before;
    }
    const size_t taken = end + 4 - before;
    head_.resize(end + 4);
    begin_body();
    return taken;
}

// Where a reply says "100 Continue", another head follows.
void HttpReader::begin_body() {
    if (head_.starts_with("HTTP/1.1 1")) return restart();
    state_ = State::kDone;
    for (size_t line = head_.find('\n') + 1; line < head_.size();) {
        const size_t end = head_.find('\n', line);
        const std::string_view field = std::string_view(head_).substr(line, end - line);
        line = end + 1;
        const size_t colon = std::min(field.find(':'), field.size());
        const std::string_view name = field.substr(0, colon);
        const std::string_view value = trim(field.substr(std::min(colon + 1, field.size())));
        if (same_word(name, "Transfer-Encoding") && same_word(value, "chunked")) {
            state_ = State::kChunkSize;
            return;
        }
        if (!same_word(name, "Content-Length")) continue;
        const std::optional<uint64_t> length = number(value, 10);
        left_ = length.value_or(0);
        state_ = !length ? State::kBroken : left_ > 0 ? State::kBody : State::kDone;
    }
}

// A chunk's size, or a line behind the last chunk.
size_t HttpReader::take_line(std::string_view bytes) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    const size_t taken = std::min(end + 1, bytes.size());
    line_ += bytes.substr(0, taken);
    if (line_.size() > kLineBytesMax) state_ = State::kBroken;
    if (!line_.ends_with('\n')) return taken;
    const std::string line(trim(std::string_view(line_).substr(0, line_.size() - 1)));
    line_.clear();
    if (state_ == State::kTrailer) {
        if (line.empty()) state_ = State::kDone;
        return taken;
    }
    const std::optional<uint64_t> size = number(line, 16);
    left_ = size.value_or(0);
    state_ = !size ? State::kBroken : left_ > 0 ? State::kChunk : State::kTrailer;
    return taken;
}

size_t HttpReader::take_body(std::string_view bytes, std::string& body) {
    const size_t taken = std::min<uint64_t>(left_, bytes.size());
    if (state_ != State::kChunkEnd) body += bytes.substr(0, taken);
    left_ -= taken;
    if (left_ > 0) return taken;
    if (state_ == State::kBody) state_ = State::kDone;
    if (state_ == State::kChunkEnd) state_ = State::kChunkSize;
    if (state_ == State::kChunk) {
        state_ = State::kChunkEnd;
        left_ = 2;
    }
    return taken;
}

}  // namespace spolia
