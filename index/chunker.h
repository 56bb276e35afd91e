#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/segment.h"

namespace spolia {

struct ChunkerOptions {
    // Chunks shorter than this are computed: finding and placing them would cost more than it
    // saves.
    int32_t tokens_min = 32;
    // Longer parts are cut at content-defined boundaries, and at this length in any case.
    int32_t tokens_max = 1024;
};

// Token sequences that were registered ahead of time, to be found anywhere in a prompt.
// Implementations are immutable while a prompt is segmented.
class RegisteredChunks {
public:
    virtual ~RegisteredChunks() = default;
    // Length of the longest registered chunk that starts at tokens[0]; 0 when there is none.
    virtual int32_t match(std::span<const Token> tokens) const = 0;
};

// Cuts a prompt into segments that tile it.
//
// `spans` are disjoint, ascending text spans; text in none of them is glue. A span of role kChunk
// becomes one or more chunks: registered chunks first, then the span as a whole, cut further where
// it is longer than tokens_max or where its content has strong boundaries (blank lines, document
// separators). Where a boundary stands depends only on the text near it, so that the same
// document gives the same chunks wherever it appears. Tokens that straddle a boundary are glue;
// leading and trailing white space of a chunk is glue.
//
// Of a kQuery span only the last paragraph is the query; what stands in front of it is cut as if it
// were kChunk, since many clients put documents and question into one message.
//
// With text that has no offsets everything is one kQuery segment.
std::vector<Segment> segment_prompt(const TokenizedText& prompt, std::span<const TextSpan> spans,
                                    const KeyScope& scope, const ChunkerOptions& options,
                                    const RegisteredChunks* registered);

}  // namespace spolia
