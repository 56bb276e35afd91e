#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "index/span_map.h"

namespace spolia {

// Text is bytes: any input is safe, and what is not valid UTF-8 counts as letters.

inline bool is_ascii(char byte) { return static_cast<unsigned char>(byte) < 0x80; }
// ASCII's, these three.
inline bool is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }
inline bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
inline bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}
// ASCII; others stay.
inline char to_lower(char byte) {
    return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
}
std::string_view trim_spaces(std::string_view text);

// Bytes of the punctuation mark (ASCII, or a three-byte one such as 。) that the text starts or
// ends with; 0 when it is none.
size_t punctuation_before(std::string_view text);
size_t punctuation_after(std::string_view text);

// A line of a text. `content` is without its line break and surrounding white space, and starts at
// byte `content_begin` of the text.
struct Line {
    uint32_t begin = 0;
    uint32_t content_begin = 0;
    std::string_view content;

    bool blank() const { return content.empty(); }
    bool indented() const { return content_begin > begin; }
};

std::vector<Line> split_lines(std::string_view text);

// 1 to 6 for a markdown heading ("## Title"), else 0.
int heading_level(std::string_view content);

// The mark of a line that is nothing but three or more of one of - = * _ #, else '\0'.
char rule_mark(std::string_view content);

// Whether a line reads as a title: short, and not ended like a sentence or a list's introduction.
bool looks_like_title(std::string_view content);

// Whether line i is a rule that makes a title of the one-line paragraph above it.
bool underlines_title(std::span<const Line> lines, size_t i);

}  // namespace spolia
