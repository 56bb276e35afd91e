#pragma once

#include <span>
#include <string>
#include <vector>

#include "index/chunker.h"

namespace spolia::testing {

// What segment_prompt() promises of any prompt, checked token by token without the code under
// test. Empty when all holds, else a sentence that says what doesn't. The prompt has offsets;
// options satisfy 1 <= tokens_min <= tokens_max.
std::string broken_promise(const TokenizedText& prompt, std::span<const TextSpan> spans,
                           const KeyScope& scope, const ChunkerOptions& options,
                           std::span<const std::vector<Token>> registered,
                           std::span<const Segment> segments);

}  // namespace spolia::testing
