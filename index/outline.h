#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/segment.h"
#include "index/token.h"

namespace spolia {

// A sentence of a prompt, or a line of code or of a table.
struct Sentence {
    TokenSpan rows;            // tokens that have a byte of it; neighbours may share one
    int32_t part = 0;          // index of the segment it is in
    bool query = false;        // of the text that is always computed
    bool refers_back = false;  // begins with "it", "they", "the latter" ...: needs its neighbour
    uint32_t word_begin = 0;   // its words are PromptOutline::words[word_begin .. word_end - 1]
    uint32_t word_end = 0;
};

// A word of a sentence, named by a hash of its stem in lower case.
struct Word {
    uint64_t stem = 0;
    int32_t row = 0;  // token that its first byte is in
};

// A prompt's text as selectors see it that follow words from sentence to sentence. Made anew for
// every prompt: that takes less time than finding its parts in a cache would.
struct PromptOutline {
    std::vector<Sentence> sentences;  // in the order of the text
    std::vector<Word> words;          // each word of a sentence once, in the order of the text

    std::span<const Word> words_of(const Sentence& sentence) const {
        return std::span(words).subspan(sentence.word_begin,
                                        sentence.word_end - sentence.word_begin);
    }
};

// `segments` tile the prompt's tokens. Empty where the prompt has no byte offsets.
//
// A sentence ends behind . ! ? (and what other scripts have for them) and at the end of a line, a
// segment or a long run of tokens. A word is a run of letters, digits, inner marks of numbers and
// underscores; the parts of camelCase and snake_case names are words as well. Scripts without
// spaces (Han, kana, Thai ...) are taken in pairs of characters. English endings are cut off,
// roughly.
PromptOutline outline_prompt(const TokenizedText& prompt, std::span<const Segment> segments);

}  // namespace spolia
