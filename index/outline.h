#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/segment.h"
#include "index/token.h"

namespace spolia {

// A sentence of a prompt, or a line of code or of a table.
struct Sentence {
    TokenSpan rows;    // tokens that have a byte of it; neighbours may share one
    int32_t part = 0;  // index of the segment it is in
    SegmentRole role = SegmentRole::kGlue;  // of that segment
    bool refers_back = false;  // begins with "it", "they", "the latter" ...: needs its neighbour
    uint32_t word_begin = 0;   // its words are PromptOutline::words[word_begin .. word_end - 1]
    uint32_t word_end = 0;
};

// A prompt's text as selectors see it that follow words from sentence to sentence. Made anew for
// every prompt: that takes less time than finding its parts in a cache would.
struct PromptOutline {
    std::vector<Sentence> sentences;  // in the order of the text
    // Words, named by a hash of their stem in lower case: each of a sentence once.
    std::vector<uint64_t> words;
    // The query is about all there is of something ("how many", "list"), not about one thing.
    bool asks_for_all = false;

    std::span<const uint64_t> words_of(const Sentence& sentence) const {
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
