#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace spolia {

// A token id of the model's vocabulary.
using Token = int32_t;

// Half-open range [begin, end) of token positions in a prompt.
struct TokenSpan {
    int32_t begin = 0;
    int32_t end = 0;

    int32_t size() const { return end - begin; }
    bool empty() const { return end <= begin; }
    bool operator==(const TokenSpan&) const = default;
};

// A prompt's text with its one true tokenization: the ids that the backend would see.
struct TokenizedText {
    std::string text;
    std::vector<Token> tokens;
    // tokens.size() + 1 byte offsets into `text`: token i covers [byte_begin[i], byte_begin[i+1]).
    // Tokens without text of their own (an added BOS) cover nothing. Empty when the tokenizer's
    // pieces do not add up to the text; then spans of text can't be mapped onto tokens.
    std::vector<uint32_t> byte_begin;

    bool has_offsets() const { return byte_begin.size() == tokens.size() + 1; }
};

}  // namespace spolia
