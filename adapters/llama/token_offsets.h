#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/token.h"

struct llama_vocab;

namespace spolia {

// What a tokenizer put around the text on its own account.
struct OffsetRules {
    bool bos_added = false;     // the first token is no part of the text
    bool eos_added = false;     // nor is the last one
    bool space_prefix = false;  // a space is put before the text and behind each special token
};

// TokenizedText::byte_begin of `tokens`, which are what the vocabulary makes of `text`. Empty when
// their pieces do not add up to the text exactly, as with vocabularies that change case or drop
// bytes. White space that a special token swallows counts as that token's.
std::vector<uint32_t> token_offsets(const llama_vocab* vocab, std::string_view text,
                                    std::span<const Token> tokens, const OffsetRules& rules);

// One token's text as raw bytes; `special` also writes out control and unknown tokens. Ids that
// the vocabulary doesn't have give nothing.
void append_piece(const llama_vocab* vocab, Token token, bool special, std::string& out);

// Whether the tokenizer cuts this token out of the text before it looks at what is around it.
bool is_special(const llama_vocab* vocab, Token token);

}  // namespace spolia
