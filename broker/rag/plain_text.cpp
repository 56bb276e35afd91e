#include "broker/rag/plain_text.h"

#include <algorithm>
#include <string_view>

#include "broker/core/text_assembler.h"

namespace spolia {
namespace {

constexpr std::string_view kMark = "\xef\xbb\xbf";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";
// Text in Latin-1 has fewer bytes that are no UTF-8, compressed or encrypted data has more.
constexpr size_t kInvalidShareMax = 4;  // one in so many bytes

size_t count_of(std::string_view text, std::string_view word) {
    size_t n = 0;
    for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + word.size())) ++n;
    return n;
}

// "\r\n" and "\r" become "\n".
void end_lines_with_line_feeds(std::string& text) {
    size_t end = text.find('\r');
    if (end == text.npos) return;
    for (size_t i = end; i < text.size(); ++i) {
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
        text[end++] = text[i] == '\r' ? '\n' : text[i];
    }
    text.resize(end);
}

}  // namespace

Result<std::string> plain_text(std::string bytes) {
    if (bytes.starts_with("\xff\xfe") || bytes.starts_with("\xfe\xff")) {
        return invalid("it is UTF-16; save it as UTF-8");
    }
    if (const size_t at = bytes.find('\0'); at != bytes.npos) {
        return invalid("it is no text: byte " + std::to_string(at) + " is 0");
    }
    std::string text;
    text.reserve(bytes.size());
    Utf8Assembler assembler;
    assembler.push(bytes, text);
    assembler.finish(text);
    const size_t n_invalid = count_of(text, kReplacement) - count_of(bytes, kReplacement);
    if (n_invalid * kInvalidShareMax > bytes.size()) {
        return invalid("it is no text: " + std::to_string(n_invalid) + " places are not UTF-8");
    }
    if (text.starts_with(kMark)) text.erase(0, kMark.size());
    end_lines_with_line_feeds(text);
    return text;
}

}  // namespace spolia
