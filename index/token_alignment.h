#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/token.h"

namespace spolia {

// Tokens [ours, ours + n) of one text are tokens [theirs, theirs + n) of another.
struct TokenRun {
    int32_t ours = 0;
    int32_t theirs = 0;
    int32_t n = 0;

    bool operator==(const TokenRun&) const = default;
};

// What of `ours` can be taken from `theirs`: exactly those tokens that lie in `run_min` (at least
// 1) or more tokens which both texts have in the same order without a gap. What was moved is found
// where it went. Ascending and disjoint in `ours`; of runs that overlap there, the one in front
// keeps the tokens, so that a run may be shorter than run_min.
//
// About linear time: windows of run_min tokens are looked up by their hash, then compared.
std::vector<TokenRun> align_tokens(std::span<const Token> ours, std::span<const Token> theirs,
                                   int32_t run_min);

}  // namespace spolia
