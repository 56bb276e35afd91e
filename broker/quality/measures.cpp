#include "broker/quality/measures.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "index/lines.h"

namespace spolia {
namespace {

bool is_letter_or_digit(char c) { return is_letter(c) || is_digit(c); }

}  // namespace

Agreement agreement(std::span<const Token> reference, std::span<const Token> tokens) {
    const auto [end, other_end] = std::ranges::mismatch(reference, tokens);
    const bool equal = end == reference.end() && other_end == tokens.end();
    if (reference.empty()) return {equal ? 1.0 : 0.0, equal};
    const auto n_equal = static_cast<double>(end - reference.begin());
    return {n_equal / static_cast<double>(reference.size()), equal};
}

double percentile(std::vector<double> values, double share) {
    assert(share > 0 && share <= 1);
    if (values.empty()) return 0;
    const auto n = static_cast<double>(values.size());
    // What rounding adds to a product that is whole must not reach the next rank.
    const double rank = std::max(1.0, std::ceil(share * n - 1e-9));
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
    std::nth_element(values.begin(), nth, values.end());
    return *nth;
}

std::string normalized_answer(std::string_view text) {
    text = trim_spaces(text);
    if (text.ends_with('.')) text = trim_spaces(text.substr(0, text.size() - 1));
    std::string answer(text);
    std::ranges::transform(answer, answer.begin(), to_lower);
    return answer;
}

bool begins_with_answer(std::string_view output, std::string_view answer) {
    const std::string said = normalized_answer(output);
    const std::string expected = normalized_answer(answer);
    if (expected.empty() || !said.starts_with(expected)) return false;
    return said.size() == expected.size() || !is_letter_or_digit(expected.back()) ||
           !is_letter_or_digit(said[expected.size()]);
}

}  // namespace spolia
