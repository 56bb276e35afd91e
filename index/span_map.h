#pragma once

#include <cstdint>

#include "index/token.h"

namespace spolia {

// Half-open range [begin, end) of bytes of a text.
struct TextRange {
    uint32_t begin = 0;
    uint32_t end = 0;

    bool empty() const { return end <= begin; }
    bool operator==(const TextRange&) const = default;
};

// Whether the prompt's offsets can be used by the functions below: there is one a token and one
// behind the last, they ascend, and they end inside the text.
bool has_usable_offsets(const TokenizedText& prompt);

// The tokens all of whose bytes are in `range`. It starts and ends with tokens that have text, so
// that a BOS before a chunk is not part of it; tokens without text between others are.
TokenSpan tokens_inside(const TokenizedText& prompt, TextRange range);

// The tokens any of whose bytes are in `range`: tokens_inside() and the straddling ones.
TokenSpan tokens_touching(const TokenizedText& prompt, TextRange range);

// The first token that begins at `byte` or behind it; tokens.size() when there is none.
int32_t token_at(const TokenizedText& prompt, uint32_t byte);

// The bytes of a span of tokens.
TextRange text_of(const TokenizedText& prompt, TokenSpan span);

}  // namespace spolia
