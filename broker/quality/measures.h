#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/token.h"

namespace spolia {

struct Agreement {
    double share = 1;   // of the reference's tokens, those in front of the first difference
    bool equal = true;  // to the end
};
// Of answers that end with an end token or have the same bound.
Agreement agreement(std::span<const Token> reference, std::span<const Token> tokens);

// The smallest value that at least `share` (0 .. 1] of the values do not exceed; 0 without values.
double percentile(std::vector<double> values, double share);

// Without white space at the ends and a final full stop; ASCII letters in lower case.
std::string normalized_answer(std::string_view text);

// Whether an output begins with the answer, both normalized. A word of the output counts as a
// whole: "12" does not begin with "1".
bool begins_with_answer(std::string_view output, std::string_view answer);

}  // namespace spolia
