#pragma once

#include <cstdint>
#include <vector>

#include "index/fingerprint.h"
#include "index/token.h"

namespace spolia {

enum class SegmentRole {
    kFixed,  // system or template text
    kChunk,  // a candidate for reuse
    kGlue,   // short text between chunks; computed
    kQuery,  // the tail that is always computed
};

// A span of a prompt's tokens with one role. A prompt's segments tile it without gaps.
struct Segment {
    SegmentRole role = SegmentRole::kGlue;
    TokenSpan span;
    Key128 key;  // chunk_key() of the span's ids; set for kChunk only
};

// A span of a prompt's bytes [begin, end) with the role that the message part it came from has.
struct TextSpan {
    uint32_t begin = 0;
    uint32_t end = 0;
    SegmentRole role = SegmentRole::kGlue;
};

}  // namespace spolia
