#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace spolia {

// Calls `report` with each word of a text: its stem's hash, the byte where it begins, and the word
// itself as it stands. What a word is: see outline_prompt(). Any bytes are safe.
using ReportWord = std::function<void(uint64_t stem, size_t begin, std::string_view word)>;
void for_each_word(std::string_view text, const ReportWord& report);

}  // namespace spolia
