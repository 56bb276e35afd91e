#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spolia {

// What a character means for words.
enum class CharacterKind : uint8_t {
    kOther,  // white space and marks
    kLetter,
    kUpper,  // ASCII
    kDigit,  // ASCII
    kUnderscore,
    kIdeograph,  // of a script that puts no spaces between words
};

struct Character {
    CharacterKind kind = CharacterKind::kOther;
    size_t bytes = 1;
    uint32_t code = 0;  // of Unicode; the byte itself where it is not UTF-8
};

// The character at the start of a text that is not empty. A byte that is not UTF-8 is a letter.
Character character_at(std::string_view text);

}  // namespace spolia
