#include "index/lines.h"

#include <algorithm>

namespace spolia {
namespace {

// Titles longer than this are paragraphs.
constexpr size_t kTitleBytesMax = 80;
constexpr size_t kRuleMarksMin = 3;

uint32_t byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

bool is_ascii_punctuation(char byte) {
    const bool printable = byte > ' ' && byte < '\x7f';
    return printable && !is_letter(byte) && !is_digit(byte);
}

// General punctuation, CJK punctuation and the full-width forms of ASCII's.
bool is_wide_punctuation(std::string_view three) {
    if (byte_at(three, 1) >> 6 != 2 || byte_at(three, 2) >> 6 != 2) return false;
    const uint32_t code =
        (byte_at(three, 0) & 15) << 12 | (byte_at(three, 1) & 63) << 6 | (byte_at(three, 2) & 63);
    const auto within = [code](uint32_t first, uint32_t last) {
        return code >= first && code <= last;
    };
    return byte_at(three, 0) >> 4 == 14 &&
           (within(0x2010, 0x205e) || within(0x3001, 0x3003) || within(0x3008, 0x301f) ||
            within(0xff01, 0xff0f) || within(0xff1a, 0xff20) || within(0xff3b, 0xff40) ||
            within(0xff5b, 0xff65));
}

}  // namespace

std::string_view trim_spaces(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

size_t punctuation_before(std::string_view text) {
    if (text.empty()) return 0;
    if (is_ascii_punctuation(text.back())) return 1;
    return text.size() >= 3 && is_wide_punctuation(text.substr(text.size() - 3)) ? 3 : 0;
}

size_t punctuation_after(std::string_view text) {
    if (text.empty()) return 0;
    if (is_ascii_punctuation(text.front())) return 1;
    return text.size() >= 3 && is_wide_punctuation(text.substr(0, 3)) ? 3 : 0;
}

std::vector<Line> split_lines(std::string_view text) {
    std::vector<Line> lines;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view content = trim_spaces(text.substr(begin, end - begin));
        const size_t content_begin = content.empty() ? begin : content.data() - text.data();
        lines.push_back(
            {static_cast<uint32_t>(begin), static_cast<uint32_t>(content_begin), content});
        begin = end + 1;
    }
    return lines;
}

int heading_level(std::string_view content) {
    const size_t level = std::min(content.find_first_not_of('#'), content.size());
    const bool heading =
        level >= 1 && level <= 6 && level < content.size() && content[level] == ' ';
    return heading ? static_cast<int>(level) : 0;
}

char rule_mark(std::string_view content) {
    if (content.size() < kRuleMarksMin) return '\0';
    const char mark = content.front();
    const bool allowed = std::string_view("-=*_#").find(mark) != std::string_view::npos;
    return allowed && content.find_first_not_of(mark) == std::string_view::npos ? mark : '\0';
}

bool looks_like_title(std::string_view content) {
    if (content.empty() || content.size() > kTitleBytesMax) return false;
    if (heading_level(content) > 0) return true;
    if (std::string_view(".!?:;,").find(content.back()) != std::string_view::npos) return false;
    return !content.ends_with("。") && !content.ends_with("！") && !content.ends_with("？");
}

bool underlines_title(std::span<const Line> lines, size_t i) {
    const char mark = rule_mark(lines[i].content);
    if (i == 0 || (mark != '=' && mark != '-')) return false;
    const bool alone = i == 1 || lines[i - 2].blank();
    return alone && rule_mark(lines[i - 1].content) == '\0' &&
           looks_like_title(lines[i - 1].content);
}

}  // namespace spolia
