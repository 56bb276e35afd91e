#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"

namespace spolia {

// One piece of text that a chat template sets into its own words.
struct ContentPart {
    std::string text;
    std::string role;  // of its message
};

// Bytes [begin, end) of a rendered text that are part `part`: as it is, without white space at its
// ends, or in a JSON string.
struct PlacedPart {
    size_t part = 0;
    uint32_t begin = 0;
    uint32_t end = 0;
};

// Renders the conversation with texts[i] in place of part i's text.
using RenderWith = std::function<Result<std::string>(const std::vector<std::string>& texts)>;

// Where the parts stand in `rendered`, in order of their places. A part that the template drops or
// changes is missing; one that it repeats is there repeatedly.
//
// The template is rendered again with a random word for each part. What is returned was verified:
// that text with the parts put back for the words is `rendered`, byte by byte. Where it isn't, the
// part at fault is left as it is and the rest is tried again, a bounded number of times.
std::vector<PlacedPart> locate_parts(const std::vector<ContentPart>& parts,
                                     std::string_view rendered, const RenderWith& render);

}  // namespace spolia
