#include "index/span_map.h"

#include <algorithm>

namespace spolia {
namespace {

// Index of the first offset that is >= byte (> byte with `behind`).
int32_t first_offset(const TokenizedText& prompt, uint32_t byte, bool behind) {
    const std::vector<uint32_t>& offsets = prompt.byte_begin;
    const auto found = behind ? std::upper_bound(offsets.begin(), offsets.end(), byte)
                              : std::lower_bound(offsets.begin(), offsets.end(), byte);
    return static_cast<int32_t>(found - offsets.begin());
}

TokenSpan ordered(int32_t begin, int32_t end) { return {begin, std::max(begin, end)}; }

}  // namespace

bool has_usable_offsets(const TokenizedText& prompt) {
    return prompt.has_offsets() && prompt.byte_begin.back() <= prompt.text.size() &&
           std::is_sorted(prompt.byte_begin.begin(), prompt.byte_begin.end());
}

TokenSpan tokens_inside(const TokenizedText& prompt, TextRange range) {
    const int32_t n_tokens = static_cast<int32_t>(prompt.tokens.size());
    // Several tokens begin at one byte where some have no text: the last of them has some.
    const int32_t at_or_behind = first_offset(prompt, range.begin, false);
    if (range.empty() || at_or_behind >= n_tokens) return {n_tokens, n_tokens};
    const int32_t begin = first_offset(prompt, prompt.byte_begin[at_or_behind], true) - 1;
    const int32_t last_offset = first_offset(prompt, range.end, true) - 1;
    if (last_offset <= begin) return {begin, begin};
    return ordered(begin, first_offset(prompt, prompt.byte_begin[last_offset], false));
}

TokenSpan tokens_touching(const TokenizedText& prompt, TextRange range) {
    const int32_t begin = std::max(0, first_offset(prompt, range.begin, true) - 1);
    if (range.empty()) return {begin, begin};
    const int32_t n_tokens = static_cast<int32_t>(prompt.tokens.size());
    return ordered(begin, std::min(n_tokens, first_offset(prompt, range.end, false)));
}

int32_t token_at(const TokenizedText& prompt, uint32_t byte) {
    const int32_t n_tokens = static_cast<int32_t>(prompt.tokens.size());
    return std::min(n_tokens, first_offset(prompt, byte, false));
}

TextRange text_of(const TokenizedText& prompt, TokenSpan span) {
    return {prompt.byte_begin[span.begin], prompt.byte_begin[span.end]};
}

}  // namespace spolia
