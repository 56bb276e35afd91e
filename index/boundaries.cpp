#include "index/boundaries.h"

#include <algorithm>

#include "index/fingerprint.h"
#include "index/lines.h"

namespace spolia {
namespace {

// Text behind a boundary that its hash depends on. Long enough to tell lines such as "}" apart.
constexpr size_t kHashedBytes = 64;

Boundary boundary_at(std::string_view text, uint32_t position, uint8_t rank) {
    return {position, rank, hash_text(text.substr(position, kHashedBytes)).low, 0};
}

// The last line before line i that is not blank; i itself when there is none.
size_t line_above(std::span<const Line> lines, size_t i) {
    for (size_t above = i; above > 0; --above) {
        if (!lines[above - 1].blank()) return above - 1;
    }
    return i;
}

bool is_paragraph(std::span<const Line> lines, size_t i) {
    const bool starts = i == 0 || lines[i - 1].blank();
    return starts && (i + 1 == lines.size() || lines[i + 1].blank());
}

// Level of the heading that line i is, by its marks or by the rule below it; 0 when it is none.
int title_level(std::span<const Line> lines, size_t i) {
    const int level = heading_level(lines[i].content);
    if (level > 0 && !lines[i].indented()) return level;  // indented ones are comments in code
    if (i + 1 == lines.size() || !underlines_title(lines, i + 1)) return 0;
    return rule_mark(lines[i + 1].content) == '=' ? 1 : 2;
}

bool is_title(std::span<const Line> lines, size_t i) {
    return title_level(lines, i) > 0 ||
           (is_paragraph(lines, i) && looks_like_title(lines[i].content));
}

// A title stays with the text below it.
bool stands_below_title(std::span<const Line> lines, size_t i) {
    const size_t above = line_above(lines, i);
    if (above == i) return false;
    return is_title(lines, above) || underlines_title(lines, above);
}

uint8_t rank_of(std::span<const Line> lines, size_t i) {
    if (const int level = title_level(lines, i); level > 0) {
        return static_cast<uint8_t>(kHeading + 6 - level);
    }
    if (!lines[i - 1].blank()) return lines[i].indented() ? kIndentedLine : kLine;
    if (stands_below_title(lines, i)) return kBehindTitle;
    if (i >= 2 && lines[i - 2].blank()) return kWideGap;
    return is_title(lines, i) ? kTitle : kParagraph;
}

// Bytes of the sentence end at the front of `text`; 0 when there is none.
size_t sentence_end(std::string_view text) {
    const char first = text[0];
    if (first == '.' || first == '!' || first == '?') {
        return text.size() > 1 && is_space(text[1]) ? 2 : 0;
    }
    if (is_ascii(first)) return 0;
    for (const std::string_view mark : {"。", "！", "？"}) {
        if (text.starts_with(mark)) return mark.size();
    }
    return 0;
}

// Bytes at the front of `text` that still belong to the sentence before it.
size_t sentence_tail(std::string_view text) {
    if (text.empty()) return 0;
    if (is_space(text[0])) return 1;
    for (const std::string_view mark : {"。", "！", "？", "”", "’", "」", "』", "）"}) {
        if (text.starts_with(mark)) return mark.size();
    }
    return 0;
}

bool outranks(const Boundary& a, const Boundary& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.hash > b.hash;
}

}  // namespace

std::vector<Boundary> line_boundaries(std::string_view text) {
    const std::vector<Line> lines = split_lines(text);
    std::vector<Boundary> found;
    for (size_t i = 1; i < lines.size(); ++i) {
        if (lines[i].blank() || underlines_title(lines, i)) continue;
        found.push_back(boundary_at(text, lines[i].begin, rank_of(lines, i)));
    }
    return found;
}

std::vector<Boundary> sentence_boundaries(std::string_view text) {
    std::vector<Boundary> found;
    for (size_t at = 0; at < text.size();) {
        const size_t length = sentence_end(text.substr(at));
        at += std::max<size_t>(length, 1);
        if (length == 0) continue;
        while (const size_t tail = sentence_tail(text.substr(at))) at += tail;
        const uint32_t position = static_cast<uint32_t>(at);
        if (at < text.size()) found.push_back(boundary_at(text, position, kSentence));
    }
    return found;
}

std::vector<Boundary> local_maxima(std::span<const Boundary> boundaries, int32_t window) {
    const auto near = [&](size_t i, size_t j) {
        return int64_t{boundaries[j].token} - boundaries[i].token < window;
    };
    std::vector<bool> beaten(boundaries.size(), false);
    // Boundaries that none behind them has outranked so far, best at the bottom. Once those that
    // boundary i outranks are gone, the top is the nearest one before i that wins against it.
    std::vector<size_t> open;
    for (size_t i = 0; i < boundaries.size(); ++i) {
        for (; !open.empty() && outranks(boundaries[i], boundaries[open.back()]); open.pop_back()) {
            if (near(open.back(), i)) beaten[open.back()] = true;
        }
        beaten[i] = !open.empty() && near(open.back(), i);
        open.push_back(i);
    }
    std::vector<Boundary> chosen;
    for (size_t i = 0; i < boundaries.size(); ++i) {
        if (!beaten[i]) chosen.push_back(boundaries[i]);
    }
    return chosen;
}

}  // namespace spolia
