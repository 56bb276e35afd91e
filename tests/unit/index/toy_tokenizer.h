#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "index/token.h"

namespace spolia::testing {

// Tokenizes as byte-level BPE vocabularies do where it matters to chunking: a space goes with the
// word behind it, punctuation with the line breaks behind it, words come in pieces of up to
// six bytes. Equal pieces have equal ids. With `add_bos` a token without text comes first.
TokenizedText tokenize(std::string_view text, bool add_bos = false);

// Cuts the text after lengths drawn from `seed`: 0 to 7 bytes, in the middle of characters, too.
TokenizedText tokenize_at_random(std::string_view text, uint64_t seed);

// A document of `n_paragraphs` paragraphs of words, `words_min` to `words_max` each, joined by
// blank lines. Equal seeds give equal documents.
std::string make_document(uint64_t seed, int n_paragraphs, int words_min, int words_max);

}  // namespace spolia::testing
