#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace spolia {

// How good a place to cut is, worst first. A heading of level n ranks kHeading + 6 - n.
enum BoundaryRank : uint8_t {
    kSentence,
    kIndentedLine,
    kLine,
    kBehindTitle,  // first of the ranks that blank lines or headings give
    kParagraph,
    kTitle,
    kWideGap,  // behind two or more blank lines
    kHeading,
};

// A place where a text may be cut: before the byte at `position`.
struct Boundary {
    uint32_t position = 0;
    uint8_t rank = kSentence;
    uint64_t hash = 0;  // of the text behind the boundary: chooses among equals
    int32_t token = 0;  // where the boundary stands in the prompt; set by whoever maps it
};

// Starts of the lines of `text`, blank lines and the first one left out.
std::vector<Boundary> line_boundaries(std::string_view text);

// Starts of sentences behind . ! ? and white space, or behind 。！？; the first one left out.
std::vector<Boundary> sentence_boundaries(std::string_view text);

// Of ascending `boundaries`, those that no other one closer than `window` tokens outranks: by rank,
// then hash, then the earlier wins. They stand at least `window` tokens apart, and where boundaries
// of one rank are dense about 2 * window. Whether one is chosen depends only on the text within
// `window` tokens of it, so that equal documents are cut alike behind any other text, and an edit
// moves the cuts near it only. Cutting where hash % n == 0 would be as local, but leaves
// exponentially distributed lengths: many pieces too short to keep, and some too long.
std::vector<Boundary> local_maxima(std::span<const Boundary> boundaries, int32_t window);

}  // namespace spolia
